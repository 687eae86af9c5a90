import { open } from 'node:fs/promises';
import { extname } from 'node:path';
import { encoderMetadata, writeEncoderModel } from '../artifact/export-encoder.js';
import type { Pool } from '../artifact/graphs.js';
import { normedEncoder } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import type { ParameterSpec } from '../model/parameters.js';
import { bytesOf } from '../util/bytes.js';
import { UserError } from '../util/errors.js';
import { replaceFile } from '../util/replace-file.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import { withSafetensors, writeSafetensors } from '../weights/checkpoint/safetensors.js';
import type { Heads } from '../weights/foreign/heads.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadEncoder, type Weights } from '../weights/foreign/weights.js';
import { checkOutputFile, filesOfCheckpoint, refused } from './check-output.js';
import { checkPools } from './open-encoder.js';

/** onnx: a model that runs; safetensors: its weights under their published names. */
export type EncoderFormat = 'onnx' | 'safetensors';

export interface ExportEncoderOptions extends Pick<Heads, 'numHeads'> {
  readonly checkpoint: string;
  /** The file to write. */
  readonly output: string;
  /** What `features` are: the class token, or the mean of the patch tokens; none: all tokens. */
  readonly pool: Pool;
  readonly format: EncoderFormat;
  /** The model's own where not given. */
  readonly inputSize?: ModelConfig['inputSize'] | undefined;
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
  { output, format, checkpoint }: Pick<ExportEncoderOptions, 'output' | 'format' | 'checkpoint'>,
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

/**
 * Writes the encoder of a checkpoint. Returns the weights in it; `checkEncoder` compares a file with them.
 *
 * @param note is told what a person should know of how the checkpoint was read.
 */
export async function exportEncoder(
  options: ExportEncoderOptions,
  note: (line: string) => void,
): Promise<Weights> {
  const { checkpoint, output, pool, format, inputSize, numHeads } = options;
  await checkExportFile(options, 'encoder');
  const weights = atInputSize(await loadEncoder(checkpoint, { numHeads }), inputSize);
  checkPools(weights, [pool]);
  for (const line of weights.notes) note(line);
  const { config, parameters, step, norm } = weights;
  if (format === 'safetensors') {
    const metadata = encoderMetadata(config, step, pool);
    await writeExportedWeights(output, normedEncoder(config, norm), parameters, metadata);
  } else await writeEncoderModel(output, config, parameters, { pool, step, norm });
  return weights;
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
