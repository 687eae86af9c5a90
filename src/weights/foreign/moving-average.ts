import { join } from 'node:path';
import { UserError } from '../../util/errors.js';
import { checkpointFiles } from '../checkpoint/checkpoint-files.js';
import { damageOf } from '../checkpoint/digests.js';
import { isFile } from '../checkpoint/durable-files.js';
import { openSafetensors, readFloat32 } from '../checkpoint/safetensors.js';
import type { WeightSource } from './weight-source.js';

const prefix = 'ema.';

/**
 * The weights of a checkpoint of ours, each as its moving average where the run keeps one: by that it was validated. The
 * whole closes with the source.
 */
export async function averagedWeights(
  source: WeightSource,
  folder: string | undefined,
  note: (line: string) => void,
): Promise<WeightSource> {
  const path = folder === undefined ? undefined : join(folder, checkpointFiles.optimizer);
  if (path === undefined || source.metadata['format'] !== 'mae' || !(await isFile(path))) return source;
  const averages = await openSafetensors(path);
  if (![...averages.tensors.keys()].some((name) => name.startsWith(prefix))) {
    await averages.close();
    return source;
  }
  const damage = await damageOf(folder!, [checkpointFiles.optimizer]);
  if (damage !== undefined) {
    await averages.close();
    throw new UserError(
      `checkpoint: expected ${path} as it was saved, for the moving average of the weights in it, got a damaged one ` +
        `(${damage}); copy it again, or give another checkpoint`,
    );
  }
  note(`${source.path}: the moving average of the weights is taken, which the run was validated with`);
  return {
    ...source,
    readFloat32: (name) =>
      averages.tensors.has(prefix + name) ? readFloat32(averages, prefix + name) : source.readFloat32(name),
    close: async () => {
      await averages.close();
      await source.close();
    },
  };
}
