import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import type { ModelConfig } from '../model/config.js';
import { imagenetDeviation, imagenetMean } from '../model/imagenet.js';
import { encoderParameters } from '../model/parameters.js';
import { presetNameOf } from '../model/presets.js';
import { bytesOf } from '../util/bytes.js';
import { replaceFile } from '../util/replace-file.js';
import { encoderGraph, type Pool } from './graphs.js';

/** Protobuf ends at 2 GiB; weights of more than this go into a file beside the model. */
const largestInlineBytes = 1.5 * 2 ** 30;

/** What a user of the encoder has to know, as strings of ONNX metadata_props or of a safetensors header. */
export function encoderMetadata(config: ModelConfig, step: number, pool: Pool): Record<string, string> {
  return {
    'mae.preset': presetNameOf(config) ?? 'custom',
    'mae.model': JSON.stringify(config),
    'mae.step': String(step),
    'mae.pool': pool,
    'mae.image_mean': JSON.stringify(imagenetMean),
    'mae.image_std': JSON.stringify(imagenetDeviation),
    'mae.rescale_factor': String(1 / 255),
  };
}

/**
 * Writes the encoder as an ONNX model with its weights inside (or in `<path>.data` where protobuf would end).
 * Input: pixel_values float32 [batch, 3, H, W]. Returns the files written.
 */
export async function writeEncoderModel(
  path: string,
  config: ModelConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  { pool, step }: { pool: Pool; step: number },
): Promise<string[]> {
  const initializers = encoderParameters(config).map(({ name, shape }) => ({
    name,
    shape,
    data: parameters.get(name)!,
  }));
  const bytes = initializers.reduce((sum, { data }) => sum + data.byteLength, 0);
  const dataPath = bytes > largestInlineBytes ? `${path}.data` : undefined;
  if (dataPath !== undefined) {
    const chunks = initializers.map(({ data }) => bytesOf(data));
    await replaceFile(dataPath, 'export', (temporary) =>
      pipeline(Readable.from(chunks), createWriteStream(temporary)),
    );
  }
  const model = encodeModel(expandDefinitions(encoderGraph(config, pool)), {
    metadata: encoderMetadata(config, step, pool),
    initializers,
    batchAxis: 'batch',
    ...(dataPath !== undefined && { externalData: basename(dataPath) }),
  });
  await replaceFile(path, 'export', (temporary) => writeFile(temporary, model));
  return dataPath === undefined ? [path] : [path, dataPath];
}
