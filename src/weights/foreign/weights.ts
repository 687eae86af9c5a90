import { type EncoderNorm, normedEncoder, runningMean } from '../../model/classifier-parameters.js';
import { type ModelConfig, patchCount } from '../../model/config.js';
import { isOfDecoder, type ParameterSpec } from '../../model/parameters.js';
import { loadModelConfig, publishedModel } from '../../model/presets.js';
import { UserError } from '../../util/errors.js';
import { checkParameters } from '../checkpoint/check-parameters.js';
import { checkFinite } from './finite.js';
import { checkHeads, type Heads } from './heads.js';
import { inferModel } from './infer-model.js';
import type { ModelInfo } from './model-info.js';
import { checkNorm, encoderNorm, leftOver, withModel } from './open-model.js';
import { isNearly, positionTable } from './position-tables.js';

export interface Weights extends ModelInfo {
  /** The file they came from. */
  readonly path: string;
  /** Whether the file has a decoder; without one, the decoder's sizes in `config` are those of the preset. */
  readonly hasDecoder: boolean;
  /** The last norm of the encoder. */
  readonly norm: EncoderNorm;
  /** Whether it is a linear probe of ours: features pass batch norm before the head. */
  readonly isProbe: boolean;
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** What a file is found to be, for who decides what is read of it. */
export type FoundModel = Pick<Weights, 'path' | 'norm' | 'isProbe' | 'head'>;

/**
 * Reads the weights of a run directory or a checkpoint of ours, a folder of transformers, a .safetensors file, or a
 * .pth file of the paper's authors. Position tables that the file lacks are computed.
 *
 * @param specsOf the parameters wanted of a model of that size; all of them have to be there.
 * @param heads where the file does not say how many a model has; a UserError where it says others.
 */
export function loadWeights(
  given: string,
  specsOf: (config: ModelConfig, hasDecoder: boolean, found: FoundModel) => ParameterSpec[],
  heads: Heads = {},
): Promise<Weights> {
  return withModel(given, async ({ source, described, hasDecoder, notes: found }) => {
    const model: FoundModel = {
      path: source.path,
      norm: encoderNorm(source),
      isProbe: source.tensors.has(runningMean),
      head: described?.head,
    };
    const someSpecs = specsOf(loadModelConfig(publishedModel), hasDecoder, model);
    const readsDecoder = hasDecoder && someSpecs.some(isOfDecoder);
    checkHeads(heads, described?.config, source.path, readsDecoder);
    const info = described ?? inferModel(source, hasDecoder, heads, readsDecoder);
    const { config } = info;
    // before lists are made of it: a description may say anything
    if (config.depth > source.tensors.size || (hasDecoder && config.decoderDepth > source.tensors.size)) {
      throw new UserError(
        `checkpoint: expected ${config.depth} + ${config.decoderDepth} blocks in ${source.path}, got ${source.tensors.size} tensors in all; ` +
          'give the config.json of these weights',
      );
    }
    const specs = specsOf(config, hasDecoder, model);
    checkNorm(source, specs);
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
    const notes = [...found, ...info.notes, ...leftOver(source, config, hasDecoder, specs)];
    const present = specs.filter(({ name, group }) => group !== 'fixed' || source.tensors.has(name));
    checkParameters(source, present);
    const parameters = new Map<string, Float32Array>();
    for (const spec of specs) {
      const { name, group } = spec;
      if (group !== 'fixed') parameters.set(name, await source.readFloat32(name));
      else if (!source.tensors.has(name)) parameters.set(name, fixedTable(spec, config, source.path));
      else {
        const table = await source.readFloat32(name);
        if (!isNearly(table, fixedTable(spec, config, source.path))) {
          notes.push(
            `${name} of ${source.path} is not the sine-cosine table of the paper; it is used as it is`,
          );
        }
        parameters.set(name, table);
      }
    }
    checkFinite(parameters, source.path);
    const { path, norm, isProbe } = model;
    return { ...info, notes, path, hasDecoder, norm, isProbe, parameters };
  });
}

/** An encoder with the last norm that it has. */
export function loadEncoder(given: string, heads?: Heads): Promise<Weights> {
  return loadWeights(given, (config, _, { norm }) => normedEncoder(config, norm), heads);
}

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
