import { createWriteStream } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Graph } from '../compiler/graph/graph.js';
import type { Initializer } from '../compiler/graph/initializer.js';
import type { Opset } from '../compiler/graph/op.js';
import { forAnySize } from '../compiler/lowering/any-size.js';
import { forOpset } from '../compiler/lowering/for-opset.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { quantizeWeights } from '../compiler/lowering/quantize.js';
import { storeFloat16 } from '../compiler/lowering/store-float16.js';
import { encodeModel, type FreeAxes, opsetVersion } from '../compiler/onnx/encode.js';
import type { Positions } from '../model/any-size.js';
import { type EncoderNorm, normedEncoder } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import { imagenetDeviation, imagenetMean } from '../model/imagenet.js';
import type { ParameterSpec } from '../model/parameters.js';
import { presetNameOf } from '../model/presets.js';
import { bytesOf } from '../util/bytes.js';
import { encoderGraph } from './exported-graphs.js';
import type { Pool } from './graphs.js';

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

/** How numbers of an exported model are stored and multiplied: int8 is `quantizeWeights`. */
export type ExportPrecision = 'fp32' | 'fp16' | 'int8';

/** How a graph is written for others. */
export interface ExportForm {
  /** fp32 where not given. */
  readonly precision?: ExportPrecision | undefined;
  readonly opset?: Opset | undefined;
}

export interface EncoderModel extends ExportForm {
  readonly pool: Pool;
  readonly step: number;
  readonly norm?: EncoderNorm | undefined;
  /** Those of pictures of any size; of the model's own size alone where not given. */
  readonly positions?: Positions | undefined;
}

/**
 * Writes the encoder as an ONNX model with its weights inside (or in `<path>.data` where protobuf would end).
 * Input: pixel_values float32 [batch, 3, H, W]. Returns the files written.
 */
export function writeEncoderModel(
  path: string,
  config: ModelConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  { pool, step, norm = 'norm', positions, ...form }: EncoderModel,
): Promise<string[]> {
  const graph = encoderGraph(config, pool, { norm, positions });
  const metadata = {
    ...encoderMetadata(config, step, pool),
    ...(positions && { 'mae.positions': positions }),
  };
  const weights = withData(normedEncoder(config, norm), parameters);
  return writeOnnxModel(path, graph, weights, {
    ...form,
    metadata,
    ...(positions && {
      freeAxes: { pixel_values: { 2: 'height', 3: 'width' }, last_hidden_state: { 1: 'tokens' } },
    }),
  });
}

/** Parameters with their values. */
export function withData(
  specs: readonly ParameterSpec[],
  parameters: ReadonlyMap<string, Float32Array>,
): Initializer[] {
  return specs.map(({ name, shape }) => ({ name, shape, data: parameters.get(name)! }));
}

export interface OnnxModelOptions extends ExportForm {
  readonly metadata: Readonly<Record<string, string>>;
  /** Axes that may have any size beside the batch; none where not given: the sizes are the graph's then. */
  readonly freeAxes?: Readonly<Record<string, FreeAxes>>;
  /** The name of the n-th file of weights that are too many for one with the model; `<path>.data` alone where not given. */
  readonly dataName?: ((n: number) => string) | undefined;
  readonly largestInlineBytes?: number | undefined;
  /** Of a file of `dataName`, but for weights that are larger each. */
  readonly largestDataBytes?: number | undefined;
}

/** Protobuf ends at 2 GiB; weights of more than this go into files beside the model. */
const largestInlineBytes = 1.5 * 2 ** 30;

/** A graph as a model with its parameters inside it or beside it. Returns the files, the model first. */
export async function writeOnnxModel(
  path: string,
  graph: Graph,
  weights: readonly Initializer[],
  options: OnnxModelOptions,
): Promise<string[]> {
  const { metadata, freeAxes, opset = opsetVersion, precision = 'fp32' } = options;
  const lowered = inPrecision(graph, weights, precision);
  const sized = freeAxes === undefined ? lowered.graph : forAnySize(lowered.graph);
  const files = dataFiles(path, lowered.weights, options);
  await mkdir(dirname(path), { recursive: true });
  for (const name of new Set(files)) {
    const chunks = lowered.weights.filter((_, i) => files![i] === name).map(({ data }) => bytesOf(data));
    await pipeline(Readable.from(chunks), createWriteStream(join(dirname(path), name)));
  }
  const model = encodeModel(forOpset(sized, opset), {
    metadata,
    initializers: lowered.weights,
    batchAxis: 'batch',
    opset,
    ...(freeAxes && { freeAxes }),
    ...(files && { externalData: files }),
  });
  await writeFile(path, model);
  return [path, ...[...new Set(files)].map((name) => join(dirname(path), name))];
}

/** A graph in ONNX's own operators, with its weights as they are stored. */
function inPrecision(
  graph: Graph,
  weights: readonly Initializer[],
  precision: ExportPrecision,
): { graph: Graph; weights: readonly Initializer[] } {
  switch (precision) {
    case 'fp32':
      return { graph: lowerGraph(graph), weights };
    case 'fp16':
      return storeFloat16(lowerGraph(graph, { graphPrecision: 'fp16' }), weights);
    case 'int8':
      return quantizeWeights(lowerGraph(graph), weights);
  }
}

/** The file of each weight; undefined where they fit into the model. */
function dataFiles(
  path: string,
  weights: readonly Initializer[],
  options: OnnxModelOptions,
): string[] | undefined {
  const { dataName, largestDataBytes = Number.POSITIVE_INFINITY } = options;
  const total = weights.reduce((sum, { data }) => sum + data.byteLength, 0);
  if (total <= (options.largestInlineBytes ?? largestInlineBytes)) return undefined;
  if (dataName === undefined) return weights.map(() => `${basename(path)}.data`);
  let [file, bytes] = [0, 0];
  return weights.map(({ data }) => {
    if (bytes > 0 && bytes + data.byteLength > largestDataBytes) [file, bytes] = [file + 1, 0];
    bytes += data.byteLength;
    return dataName(file);
  });
}
