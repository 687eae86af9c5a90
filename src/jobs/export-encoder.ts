import { open } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { encoderMetadata, writeEncoderModel } from '../artifact/export-encoder.js';
import type { Pool } from '../artifact/graphs.js';
import type { Opset } from '../compiler/graph/op.js';
import { opsetVersion } from '../compiler/onnx/encode.js';
import type { Positions } from '../model/any-size.js';
import { normedEncoder } from '../model/classifier-parameters.js';
import { type ModelConfig, patchGrid } from '../model/config.js';
import type { ParameterSpec } from '../model/parameters.js';
import { bytesOf } from '../util/bytes.js';
import { UserError } from '../util/errors.js';
import { replaceFile, replaceFiles } from '../util/replace-file.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import { withSafetensors, writeSafetensors } from '../weights/checkpoint/safetensors.js';
import type { Heads } from '../weights/foreign/heads.js';
import { atInputSize, positionsOf } from '../weights/foreign/input-size.js';
import { loadEncoder, type Weights } from '../weights/foreign/weights.js';
import { checkEncoder, type ExportCheck, type Place } from './check-exported.js';
import { checkOutputFile, filesOfCheckpoint, refused } from './check-output.js';
import { checkPools } from './open-encoder.js';

/** onnx: a model that runs; safetensors: its weights under their published names. */
export type EncoderFormat = 'onnx' | 'safetensors';

/** What a model is read from and where it goes. */
export interface ExportFileOptions extends Place {
  readonly checkpoint: string;
  /** The file to write. */
  readonly output: string;
  readonly format: EncoderFormat;
  /** The model's own where not given. */
  readonly inputSize?: ModelConfig['inputSize'] | undefined;
}

/** How a file of ONNX is written. */
interface OnnxOptions {
  /** Whether pictures may have any size that the patches divide. */
  readonly dynamicSize?: boolean | undefined;
  /** How `dynamicSize` makes positions: as `atInputSize` does where not given. */
  readonly positions?: Positions | undefined;
  readonly opset?: Opset | undefined;
  /** Whether products are float16. */
  readonly fp16?: boolean | undefined;
}

export interface ExportEncoderOptions extends ExportFileOptions, OnnxOptions, Pick<Heads, 'numHeads'> {
  /** What `features` are: the class token, or the mean of the patch tokens; none: all tokens. */
  readonly pool: Pool;
}

/** The format that the ending of a file says; a UserError where `given` is another one, or neither says any. */
export function encoderFormat(output: string, given: EncoderFormat | undefined): EncoderFormat {
  const ending = extname(output).toLowerCase();
  const said = (
    { '.onnx': 'onnx', '.safetensors': 'safetensors' } as Readonly<Record<string, EncoderFormat>>
  )[ending];
  const format = given ?? said;
  if (format === undefined) {
    throw new UserError(
      `--output: expected a file that ends in .onnx or .safetensors, got ${output}; rename it, or give --format`,
    );
  }
  if (said !== undefined && said !== format) {
    throw new UserError(`--format: expected ${said}, as ${output} ends, got ${format}; change one of them`);
  }
  return format;
}

/**
 * A UserError where the file would replace anything but an export of the same kind and format, or what it is read from.
 */
export async function checkExportFile(
  { output, format, checkpoint }: Pick<ExportFileOptions, 'output' | 'format' | 'checkpoint'>,
  kind: ExportedKind,
): Promise<void> {
  const inputs = await filesOfCheckpoint(checkpoint);
  // weights too large for ONNX's protobuf go into a second file
  for (const path of format === 'onnx' ? [output, `${output}.data`] : [output]) checkOutputFile(path, inputs);
  if ((await isFile(output)) && (await kindOfExport(output, format)) !== kind) {
    const expected = `a new file or ${kind === 'encoder' ? 'an encoder' : 'a classifier'} of mae as ${format}`;
    throw refused(output, expected, 'a file of something else', 'choose another path');
  }
}

type ExportedKind = 'encoder' | 'classifier';

/** What a file says that it is an export of: an ONNX model at its end, safetensors in their header. */
async function kindOfExport(path: string, format: EncoderFormat): Promise<ExportedKind | undefined> {
  const kindBy = (has: (word: string) => boolean) =>
    has('mae.task') ? 'classifier' : has('mae.pool') ? 'encoder' : undefined;
  if (format === 'safetensors') {
    const metadata = await withSafetensors(path, async (file) => file.metadata).catch(() => undefined);
    return metadata && kindBy((word) => metadata[word] !== undefined);
  }
  const handle = await open(path, 'r');
  try {
    const { size } = await handle.stat();
    const end = Buffer.alloc(Math.min(size, 2 ** 16));
    await handle.read(end, 0, end.length, size - end.length);
    return kindBy((word) => end.includes(word));
  } finally {
    await handle.close();
  }
}

/** The first ONNX Runtime that reads an opset: https://onnxruntime.ai/docs/reference/compatibility.html */
const runtimeOf: Readonly<Record<Opset, string>> = { 17: '1.12', 20: '1.17' };

/** What a file of an opset needs, for a person. */
export function runtimeNeeded(opset: Opset = opsetVersion): string {
  return `needs ONNX Runtime ${runtimeOf[opset]} or later (opset ${opset})`;
}

/**
 * Writes the encoder of a checkpoint. A model of ONNX is compared with the evaluation graph before it appears: with
 * `dynamicSize` at three sizes. Returns what was found.
 *
 * @param note is told what a person should know of how the checkpoint was read.
 */
export async function exportEncoder(
  options: ExportEncoderOptions,
  note: (line: string) => void,
): Promise<ExportCheck[]> {
  const { checkpoint, output, pool, format, inputSize, numHeads } = options;
  checkOnnxOptions(options);
  await checkExportFile(options, 'encoder');
  const weights = atInputSize(await loadEncoder(checkpoint, { numHeads }), inputSize);
  checkPools(weights, [pool]);
  for (const line of weights.notes) note(line);
  const { config, parameters, step, norm } = weights;
  if (format === 'safetensors') {
    const metadata = encoderMetadata(config, step, pool);
    await writeExportedWeights(output, normedEncoder(config, norm), parameters, metadata);
    return [];
  }
  const positions = options.dynamicSize ? chosenPositions(options, weights) : undefined;
  const precision = options.fp16 ? 'fp16' : 'fp32';
  if (precision === 'fp16') checkFitsFloat16(weights);
  return replaceChecked(
    output,
    (path) =>
      writeEncoderModel(path, config, parameters, {
        pool,
        step,
        norm,
        precision,
        positions,
        opset: options.opset,
      }),
    async (path) => {
      const checks: ExportCheck[] = [];
      for (const size of positions === undefined ? [undefined] : checkedSizes(config)) {
        const sized = atInputSize(weights, size, positions);
        checks.push(await checkEncoder(path, sized, pool, options, precision));
      }
      return checks;
    },
  );
}

/** A UserError where an option says nothing of what is written. */
function checkOnnxOptions(options: ExportEncoderOptions): void {
  const { format, opset, fp16, dynamicSize, positions, inputSize } = options;
  const given = { '--dynamic-size': dynamicSize, '--fp16': fp16, '--opset': opset, '--positions': positions };
  const [flag] = Object.entries(given).find(([, value]) => value !== undefined && value !== false) ?? [];
  if (format === 'safetensors' && flag !== undefined) {
    throw new UserError(
      `${flag}: expected a file of ONNX, got one of safetensors, which has no graph; leave it out`,
    );
  }
  if (positions !== undefined && !dynamicSize) {
    throw new UserError('--positions: expected --dynamic-size with it: one size has one table; give both');
  }
  if (inputSize !== undefined && dynamicSize) {
    throw new UserError(
      '--input-size: expected one size or any, got --dynamic-size too, which takes every size; leave one out',
    );
  }
}

function chosenPositions({ positions }: OnnxOptions, weights: Weights): Positions {
  const own = positionsOf(weights);
  if (positions !== 'sincos' || own === 'sincos') return positions ?? own;
  throw new UserError(
    `--positions: expected bicubic for ${weights.path}, whose positions were trained and have no formula, got sincos; ` +
      'leave it out',
  );
}

/** A UserError where numbers would be infinite. */
export function checkFitsFloat16({ parameters, path }: Pick<Weights, 'parameters' | 'path'>): void {
  for (const [name, values] of parameters) {
    const large = values.find((value) => Math.abs(value) >= 65520);
    if (large === undefined) continue;
    throw new UserError(
      `float16: expected weights up to 65504 in ${path}, got ${large} in ${name}; export-encoder without --fp16 takes them`,
    );
  }
}

/** The model's own size, a smaller one that is not square, and a larger one. */
function checkedSizes(config: ModelConfig): ModelConfig['inputSize'][] {
  const { patchSize } = config;
  const { rows, columns } = patchGrid(config);
  const grids = [
    [rows, columns],
    [Math.ceil(rows / 2), columns + 1],
    [rows + 3, columns + 2],
  ] as const;
  return grids.map(([down, across]) => [down * patchSize, across * patchSize] as const);
}

/** Puts a model, and its weights beside it, in its place if it passes. Returns what the check found. */
export async function replaceChecked<T>(
  output: string,
  write: (path: string) => Promise<readonly string[]>,
  check: (path: string) => Promise<T>,
): Promise<T> {
  let found: T | undefined;
  await replaceFiles(dirname(output), 'export', async (folder) => {
    const paths = await write(join(folder, basename(output)));
    found = await check(paths[0]!);
    return paths.map((path) => basename(path)).reverse();
  });
  return found!;
}

/** The parameters of a model under their published names. */
export async function writeExportedWeights(
  path: string,
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Float32Array>,
  metadata: Record<string, string>,
): Promise<void> {
  const tensors = specs.map(({ name, shape }) => {
    return { name, dtype: 'F32' as const, shape, data: bytesOf(parameters.get(name)!) };
  });
  await replaceFile(path, 'export', (temporary) => writeSafetensors(temporary, tensors, metadata));
}
