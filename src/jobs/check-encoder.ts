import { latentGraph, type Pool } from '../artifact/graphs.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { lowerForDevice } from '../compiler/lowering/for-device.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { pixelValues } from '../data/pictures/pixels.js';
import { imageSize, type ModelConfig, patchCount } from '../model/config.js';
import { encoderParameters } from '../model/parameters.js';
import type { Device } from '../runtime/device.js';
import { prepareEnvironment } from '../runtime/library.js';
import { Runtime } from '../runtime/runtime.js';
import { intraOpThreads } from '../runtime/threads.js';
import { RandomStream } from '../util/random.js';
import type { Weights } from '../weights/foreign/weights.js';

/** Images of the check: more than one shows that the batch axis is free. */
const checkedImages = 2;

/** Where the evaluation graph runs. */
export interface Place {
  readonly threads: number;
  readonly device: Device;
}

/** An output of an exported encoder beside that of the evaluation graph. */
export interface EncoderCheck {
  readonly name: string;
  readonly shape: readonly number[];
  /** The largest absolute difference, and the largest absolute value of the evaluation graph. */
  readonly difference: number;
  readonly largest: number;
}

/** Largest difference allowed, relative to the largest value where that is above 1. */
const tolerance = 1e-3;

/**
 * Runs an exported encoder through onnxruntime-node's public API, on the CPU, and compares it with the evaluation
 * graph's encoder on the device. Throws where they differ, for one of the two is wrong.
 */
export async function checkEncoder(
  path: string,
  weights: Pick<Weights, 'config' | 'parameters'>,
  pool: Pool,
  place: Place,
): Promise<EncoderCheck> {
  const { height, width } = imageSize(weights.config);
  const images = randomImages(checkedImages * height * width * 3);
  const { name, shape, data: got } = await runExported(path, images, weights.config, place.threads);
  const expected = poolTokens(await latent(images, weights, place), weights.config, pool);
  const difference = got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const limit = tolerance * Math.max(1, largest);
  if (got.length !== expected.length || !(difference <= limit)) {
    throw new Error(
      `export-encoder: expected ${path} to give ${expected.length} numbers within ${limit.toExponential(1)} of the ` +
        `evaluation graph's, got ${got.length} that differ by ${difference.toExponential(1)}`,
    );
  }
  return { name, shape, difference, largest };
}

/** The first output of the exported model on uint8 images. */
async function runExported(
  path: string,
  images: Uint8Array,
  config: ModelConfig,
  threads: number,
): Promise<{ name: string; shape: readonly number[]; data: Float32Array }> {
  prepareEnvironment();
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { height, width } = imageSize(config);
  const session = await InferenceSession.create(path, { intraOpNumThreads: intraOpThreads(threads) });
  const values = pixelValues(images, { height, width });
  const input = new Tensor('float32', values, [checkedImages, 3, height, width]);
  const outputs = await session.run({ pixel_values: input });
  const name = session.outputNames[0]!;
  const { dims, data } = outputs[name]!;
  await session.release();
  return { name, shape: dims, data: data as Float32Array };
}

function randomImages(length: number): Uint8Array {
  const random = new RandomStream(0, 'sample');
  return Uint8Array.from({ length }, () => random.int(256));
}

/** The evaluation graph's encoder on all patches in their own order: float32 [N, 1 + L, D]. */
async function latent(
  images: Uint8Array,
  { config, parameters }: Pick<Weights, 'config' | 'parameters'>,
  { threads, device }: Place,
): Promise<Float32Array> {
  const { embedDim } = config;
  const { height, width } = imageSize(config);
  const patches = patchCount(config);
  const runtime = new Runtime({ threads, device });
  const graph = lowerForDevice(expandDefinitions(latentGraph(config, checkedImages)), device.lacks);
  const session = runtime.createSession(encodeModel(graph));
  const ids = BigInt64Array.from({ length: checkedImages * patches }, (_, i) => BigInt(i % patches));
  const inputs = {
    images: runtime.tensor(images, [checkedImages, height, width, 3]),
    ids_shuffle: runtime.tensor(ids, [checkedImages, patches]),
    ...Object.fromEntries(
      encoderParameters(config).map(({ name, shape }) => [
        name,
        runtime.tensor(parameters.get(name)!, shape),
      ]),
    ),
  };
  const result = new Float32Array(checkedImages * (1 + patches) * embedDim);
  const output = runtime.tensor(result, [checkedImages, 1 + patches, embedDim]);
  try {
    await session.bind(inputs, { latent: output }).run();
  } finally {
    session.release();
    for (const tensor of [...Object.values(inputs), output]) tensor.release();
    runtime.release();
  }
  return result;
}

/** The class token, the mean of the patch tokens, or all. float32 [N, 1 + L, D] → [N, D], or as it is. */
function poolTokens(tokens: Float32Array, config: ModelConfig, pool: Pool): Float32Array {
  if (pool === 'none') return tokens;
  const width = config.embedDim;
  const length = 1 + patchCount(config);
  const [first, count] = pool === 'cls' ? [0, 1] : [1, length - 1];
  return Float32Array.from({ length: checkedImages * width }, (_, i) => {
    const start = Math.floor(i / width) * length * width + (i % width);
    let sum = 0;
    for (let token = first; token < first + count; token++) sum += tokens[start + token * width]!;
    return sum / count;
  });
}
