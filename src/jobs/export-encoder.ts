import { encoderMetadata, writeEncoderModel } from '../artifact/export-encoder.js';
import type { Pool } from '../artifact/graphs.js';
import type { ModelConfig } from '../model/config.js';
import { encoderParameters } from '../model/parameters.js';
import { bytesOf } from '../util/bytes.js';
import { codeOf, UserError } from '../util/errors.js';
import { writeSafetensors } from '../weights/checkpoint/safetensors.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';

/** onnx: a model that runs; safetensors: its weights under their published names. */
export type EncoderFormat = 'onnx' | 'safetensors';

export interface ExportEncoderOptions {
  readonly checkpoint: string;
  /** The file to write. */
  readonly output: string;
  /** What `features` are: the class token, or the mean of the patch tokens; none: all tokens. */
  readonly pool: Pool;
  readonly format: EncoderFormat;
  /** The model's own where not given. */
  readonly inputSize?: ModelConfig['inputSize'] | undefined;
}

export const exportEncoderDefaults = {
  pool: 'cls',
  format: 'onnx',
} as const satisfies Partial<ExportEncoderOptions>;

/**
 * Writes the encoder of a checkpoint. Returns the weights in it; `checkEncoder` compares a file with them.
 *
 * @param note is told what a person should know of how the checkpoint was read.
 */
export async function exportEncoder(
  { checkpoint, output, pool, format, inputSize }: ExportEncoderOptions,
  note: (line: string) => void,
): Promise<Weights> {
  const weights = atInputSize(await loadWeights(checkpoint, encoderParameters), inputSize);
  for (const line of weights.notes) note(line);
  const { config, parameters, step } = weights;
  try {
    if (format === 'safetensors') await writeWeights(output, weights, pool);
    else await writeEncoderModel(output, config, parameters, { pool, step });
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    throw new UserError(`export: cannot write ${output} (${code}); choose another place with -o`);
  }
  return weights;
}

async function writeWeights(path: string, { config, parameters, step }: Weights, pool: Pool): Promise<void> {
  const tensors = encoderParameters(config).map(({ name, shape }) => {
    return { name, dtype: 'F32' as const, shape, data: bytesOf(parameters.get(name)!) };
  });
  await writeSafetensors(path, tensors, encoderMetadata(config, step, pool));
}
