import { createWriteStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Graph } from '../compiler/graph/graph.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { encodeModel, type Initializer } from '../compiler/onnx/encode.js';
import { type EncoderNorm, normedEncoder } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import { imagenetDeviation, imagenetMean } from '../model/imagenet.js';
import type { ParameterSpec } from '../model/parameters.js';
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
export function writeEncoderModel(
  path: string,
  config: ModelConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  { pool, step, norm = 'norm' }: { pool: Pool; step: number; norm?: EncoderNorm },
): Promise<string[]> {
  const graph = encoderGraph(config, pool, norm);
  const initializers = withData(normedEncoder(config, norm), parameters);
  return writeOnnxModel(path, graph, initializers, encoderMetadata(config, step, pool));
}

/** Parameters with their values. */
export function withData(
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Float32Array>,
): Initializer[] {
  return specs.map(({ name, shape }) => ({ name, shape, data: parameters.get(name)! }));
}

/** A graph as a model with its parameters inside it or beside it. */
export async function writeOnnxModel(
  path: string,
  graph: Graph,
  initializers: readonly Initializer[],
  metadata: Readonly<Record<string, string>>,
): Promise<string[]> {
  const bytes = initializers.reduce((sum, { data }) => sum + data.byteLength, 0);
  const dataPath = bytes > largestInlineBytes ? `${path}.data` : undefined;
  if (dataPath !== undefined) {
    const chunks = initializers.map(({ data }) => bytesOf(data));
    await replaceFile(dataPath, 'export', (temporary) =>
      pipeline(Readable.from(chunks), createWriteStream(temporary)),
    );
  }
  const model = encodeModel(expandDefinitions(graph), {
    metadata,
    initializers,
    batchAxis: 'batch',
    ...(dataPath !== undefined && { externalData: basename(dataPath) }),
  });
  await replaceFile(path, 'export', (temporary) => writeFile(temporary, model));
  return dataPath === undefined ? [path] : [path, dataPath];
}
