import { type ModelConfig, patchCount } from '../../model/config.js';
import { isOfDecoder, type ParameterSpec } from '../../model/parameters.js';
import { UserError } from '../../util/errors.js';
import { checkParameters } from '../checkpoint/check-parameters.js';
import { checkFinite } from './finite.js';
import { inferModel } from './infer-model.js';
import type { ModelInfo } from './model-info.js';
import { leftOver, withModel } from './open-model.js';
import { positionTable } from './position-tables.js';

export interface Weights extends ModelInfo {
  /** The file they came from. */
  readonly path: string;
  /** Whether the file has a decoder; without one, the decoder's sizes in `config` are those of the preset. */
  readonly hasDecoder: boolean;
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/**
 * Reads the weights of a run directory or a checkpoint of ours, a folder of transformers, a .safetensors file, or a
 * .pth file of the paper's authors. Position tables that the file lacks are computed.
 *
 * @param specsOf the parameters wanted of a model of that size; all of them have to be there.
 */
export function loadWeights(
  given: string,
  specsOf: (config: ModelConfig, hasDecoder: boolean) => ParameterSpec[],
): Promise<Weights> {
  return withModel(given, async ({ source, described, hasDecoder, notes: found }) => {
    const info = described ?? inferModel(source, hasDecoder);
    const { config } = info;
    // before lists are made of it: a description may say anything
    if (config.depth > source.tensors.size || (hasDecoder && config.decoderDepth > source.tensors.size)) {
      throw new UserError(
        `checkpoint: expected ${config.depth} + ${config.decoderDepth} blocks in ${source.path}, got ${source.tensors.size} tensors in all; ` +
          'give the config.json of these weights',
      );
    }
    const specs = specsOf(config, hasDecoder);
    if (!hasDecoder && specs.some(isOfDecoder)) {
      throw new UserError(
        `checkpoint: expected an encoder and a decoder in ${source.path}, got an encoder alone; ` +
          'give weights of the whole model: these are good for export-encoder and for pretrain --init',
      );
    }
    if (!specs.some(({ name }) => !isOfDecoder({ name }) && source.tensors.has(name))) {
      throw new UserError(
        `checkpoint: expected an encoder in ${source.path}, got none of its tensors (it has ${source.tensors.size} others); ` +
          'give weights of the whole model, or of its encoder',
      );
    }
    const notes = [...found, ...info.notes, ...leftOver(source, config, hasDecoder)];
    const present = specs.filter(({ name, group }) => group !== 'fixed' || source.tensors.has(name));
    checkParameters(source, present);
    const parameters = new Map<string, Float32Array>();
    for (const spec of specs) {
      const { name, group } = spec;
      if (group !== 'fixed') parameters.set(name, await source.readFloat32(name));
      else if (!source.tensors.has(name)) parameters.set(name, fixedTable(spec, config, source.path));
      else {
        const table = await source.readFloat32(name);
        const fixed = fixedTable(spec, config, source.path);
        if (table.some((value, i) => !(Math.abs(value - fixed[i]!) < tableTolerance))) {
          notes.push(
            `${name} of ${source.path} is not the sine-cosine table of the paper; it is used as it is`,
          );
        }
        parameters.set(name, table);
      }
    }
    checkFinite(parameters, source.path);
    return { ...info, notes, path: source.path, hasDecoder, parameters };
  });
}

/** Rounding of bfloat16 below 1, the table's largest value, is 2^−9. */
const tableTolerance = 2 ** -8;

/** Patches for which a missing table is computed: 2048 pixels in patches of 16. */
const mostPatches = 2 ** 14;

/** The table that the file lacks, or is compared with. */
function fixedTable(spec: ParameterSpec, config: ModelConfig, path: string): Float32Array {
  if (patchCount(config) > mostPatches) {
    throw new UserError(
      `checkpoint: expected at most ${mostPatches} patches in ${path}, got ${patchCount(config)}; check the sizes in its config.json`,
    );
  }
  return positionTable(spec);
}
