import { stat } from 'node:fs/promises';
import { type ModelConfig, patchCount, patchGrid } from '../../model/config.js';
import { initialize } from '../../model/initialize.js';
import { encoderParameters, maeParameters, type ParameterSpec } from '../../model/parameters.js';
import { UserError } from '../../util/errors.js';
import { formatShape, type Shape, sameShape, sizeOf } from '../../util/shape.js';
import { resolveCheckpoint } from '../checkpoint/run-directory.js';
import { openSafetensors, type SafetensorsFile } from '../checkpoint/safetensors.js';
import { describedModel } from './describe-model.js';
import { inferModel } from './infer-model.js';
import type { ModelInfo } from './model-info.js';
import { openWeights } from './open-weights.js';
import { inPublishedNames, type PublishedSource } from './tensor-names.js';

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
  return withModel(given, async ({ source, described, hasDecoder }) => {
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
    const notes = [...info.notes, ...leftOver(source, config, hasDecoder)];
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
    return { ...info, notes, path: source.path, hasDecoder, parameters };
  });
}

/**
 * What a run of `config` can start from: the parameters of a file, of the encoder alone where it has no decoder.
 * Position tables of another input size are left out; so the run keeps its own.
 */
export function loadInitialWeights(
  given: string,
  config: ModelConfig,
): Promise<Pick<Weights, 'parameters' | 'notes'>> {
  return withModel(given, async ({ source, described, hasDecoder }) => {
    const there = described?.config;
    if (there !== undefined) checkHeads(there, config, source.path, hasDecoder);
    const notes = [...leftOver(source, config, hasDecoder)];
    if (!hasDecoder) notes.push(`${source.path} has no decoder: it starts fresh, from --seed`);
    const specs = hasDecoder ? maeParameters(config) : encoderParameters(config);
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
    return { parameters, notes };
  });
}

interface OpenModel {
  readonly source: PublishedSource;
  /** Undefined where nothing but the shapes says what the model is. */
  readonly described: ModelInfo | undefined;
  readonly hasDecoder: boolean;
}

async function withModel<T>(given: string, use: (model: OpenModel) => Promise<T>): Promise<T> {
  const { modelPath, configPath } = await resolveCheckpoint(given);
  const file = await openWeights(modelPath);
  try {
    const source = inPublishedNames(file);
    const isFolder = (await stat(given)).isDirectory();
    const described = await describedModel(source, configPath, isFolder);
    const hasDecoder = [...source.tensors.keys()].some((name) => /^decoder_(blocks|embed|pred)\./.test(name));
    return await use({ source, described, hasDecoder });
  } finally {
    await file.close();
  }
}

function isOfDecoder({ name }: { name: string }): boolean {
  return name === 'mask_token' || name.startsWith('decoder_');
}

/** Rounding of bfloat16 below 1, the table's largest value, is 2^−9. */
const tableTolerance = 2 ** -8;

/** Patches for which a missing table is computed: 2048 pixels in patches of 16. */
const mostPatches = 2 ** 14;

function fixedTable(spec: ParameterSpec, config: ModelConfig, path: string): Float32Array {
  if (patchCount(config) > mostPatches) {
    throw new UserError(
      `checkpoint: expected at most ${mostPatches} patches in ${path}, got ${patchCount(config)}; check the sizes in its config.json`,
    );
  }
  const table = new Float32Array(sizeOf(spec.shape));
  initialize(table, spec, config, 0, 0);
  return table;
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

/** A line about tensors that the model does not have, if there are any. */
function leftOver(source: PublishedSource, config: ModelConfig, hasDecoder: boolean): string[] {
  const known = new Set(maeParameters(config).map(({ name }) => name));
  const names = [...source.tensors.keys()].filter((name) => !known.has(name));
  if (names.length === 0 || (!hasDecoder && names.length === 1 && names[0] === 'mask_token')) return [];
  return [`${source.path} has tensors that the model has not, left unread: ${shown(names, ', ')}`];
}

/** Throws a UserError that lists parameters missing or of another shape, by name. */
export function checkParameters(
  file: {
    readonly path: string;
    readonly tensors: ReadonlyMap<string, { readonly shape: Shape }>;
    readonly missingParts?: readonly string[];
  },
  wanted: readonly { name: string; shape: Shape }[],
): void {
  const { path, tensors, missingParts = [] } = file;
  const problems = missingParts.map((part) => `${part} is missing`);
  for (const { name, shape } of wanted) {
    const found = tensors.get(name);
    if (found !== undefined && !sameShape(found.shape, shape)) {
      problems.push(`${name} is ${formatShape(found.shape)} instead of ${formatShape(shape)}`);
    } else if (found === undefined && !missingParts.some((part) => part.endsWith(` of ${name}`))) {
      problems.push(`${name} is missing`);
    }
  }
  if (problems.length === 0) return;
  const known = new Set(wanted.map(({ name }) => name));
  const isMissing = problems.some((problem) => problem.endsWith('missing'));
  const others = [...tensors.keys()].filter((name) => !known.has(name) && !isOfDecoder({ name }));
  const rest = isMissing && others.length > 0 ? ` (it has others: ${shown(others, ', ')})` : '';
  throw new UserError(`checkpoint: ${path} does not fit the model: ${shown(problems, '; ')}${rest}`);
}

function shown(lines: readonly string[], separator: string): string {
  const more = lines.length > 10 ? `${separator}and ${lines.length - 10} more` : '';
  return lines.slice(0, 10).join(separator) + more;
}

/** Opens a file for the time of `use`. */
export async function withSafetensors<T>(
  path: string,
  use: (file: SafetensorsFile) => Promise<T>,
): Promise<T> {
  const file = await openSafetensors(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
