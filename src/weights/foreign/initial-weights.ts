import { type ModelConfig, patchGrid } from '../../model/config.js';
import { type ParameterSpec, parametersOf } from '../../model/parameters.js';
import { UserError } from '../../util/errors.js';
import { sameShape } from '../../util/shape.js';
import { checkParameters } from '../checkpoint/check-parameters.js';
import { checkFinite } from './finite.js';
import { checkNorm, leftOver, withModel } from './open-model.js';
import type { Weights } from './weights.js';

/**
 * What a run of `config` can start from: the parameters of a file, of the encoder alone where it has no decoder.
 * Position tables of another input size are left out; so the run keeps its own.
 */
export function loadInitialWeights(
  given: string,
  config: ModelConfig,
): Promise<Pick<Weights, 'parameters' | 'notes'>> {
  return withModel(given, async ({ source, described, hasDecoder, notes: found }) => {
    const there = described?.config;
    if (there !== undefined) checkHeads(there, config, source.path, hasDecoder);
    const specs = parametersOf(config, hasDecoder);
    checkNorm(source, specs);
    const notes = [...found, ...leftOver(source, config, hasDecoder, specs)];
    if (!hasDecoder) notes.push(`${source.path} has no decoder: it starts fresh, from --seed`);
    const sameGrid = there === undefined || sameShape(gridOf(there), gridOf(config));
    const isUsable = ({ name, shape, group }: ParameterSpec) => {
      if (group !== 'fixed') return true;
      const found = source.tensors.get(name)?.shape;
      // another L is another input size; anything else that differs is an error
      return found !== undefined && sameGrid && (found.length !== 3 || found[1] === shape[1]);
    };
    const usable = specs.filter(isUsable);
    const unused = specs.filter((spec) => !isUsable(spec) && source.tensors.has(spec.name));
    if (unused.length > 0) {
      const [rows, columns] = gridOf(config);
      notes.push(
        `${unused.map(({ name }) => name).join(' and ')} of ${source.path} are of another input size: ` +
          `those of ${rows} × ${columns} patches are computed`,
      );
    }
    checkParameters(source, usable);
    const parameters = new Map<string, Float32Array>();
    for (const { name } of usable) parameters.set(name, await source.readFloat32(name));
    checkFinite(parameters, source.path);
    return { parameters, notes };
  });
}

function gridOf(config: ModelConfig): [rows: number, columns: number] {
  const { rows, columns } = patchGrid(config);
  return [rows, columns];
}

/** The shapes do not show them, but weights mean nothing with others. */
function checkHeads(there: ModelConfig, here: ModelConfig, path: string, hasDecoder: boolean): void {
  const fields = hasDecoder ? (['numHeads', 'decoderNumHeads'] as const) : (['numHeads'] as const);
  for (const field of fields) {
    if (there[field] === here[field]) continue;
    throw new UserError(
      `checkpoint: ${path} does not fit the model: ${field} is ${there[field]} instead of ${here[field]}; give the --model of its sizes`,
    );
  }
}
