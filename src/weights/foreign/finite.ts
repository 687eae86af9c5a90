import { UserError } from '../../util/errors.js';
import { shown } from '../checkpoint/check-parameters.js';

/** A UserError that names the tensors with NaN or infinity among weights that were read. */
export function checkFinite(parameters: ReadonlyMap<string, Float32Array>, path: string): void {
  const bad: string[] = [];
  for (const [name, values] of parameters) {
    let count = 0;
    for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) count++;
    if (count > 0) bad.push(`${count} of ${values.length} in ${name}`);
  }
  if (bad.length === 0) return;
  throw new UserError(
    `checkpoint: expected finite numbers in ${path}, got NaN or infinity (${shown(bad, ', ')}); ` +
      'the training that saved them diverged, or the file is damaged: use an earlier checkpoint, or copy it again',
  );
}
