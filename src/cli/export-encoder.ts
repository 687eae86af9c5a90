import type { Options } from 'yargs';
import { encoderMetadata, writeEncoderModel } from '../artifact/export-encoder.js';
import { latentGraph, type Pool } from '../artifact/graphs.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { lowerForDevice } from '../compiler/lowering/for-device.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { imageSize, type ModelConfig, patchCount } from '../model/config.js';
import { imagenetDeviation, imagenetMean } from '../model/mae.js';
import { encoderParameters } from '../model/parameters.js';
import { chooseDevice } from '../runtime/choose-device.js';
import type { Device } from '../runtime/device.js';
import { prepareEnvironment } from '../runtime/library.js';
import { Runtime } from '../runtime/runtime.js';
import { bytesOf } from '../util/bytes.js';
import { codeOf, UserError } from '../util/errors.js';
import { RandomStream } from '../util/random.js';
import { writeSafetensors } from '../weights/checkpoint/safetensors.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import { checkpointFlag, deviceFlag, outputFlag, threadsFlag } from './common-flags.js';
import { type Arguments, text } from './flags.js';
import { inputSizeFlag } from './model-flags.js';

export const options = {
  checkpoint: checkpointFlag,
  output: outputFlag('File to write'),
  pool: {
    choices: ['cls', 'mean', 'none'],
    default: 'cls',
    coerce: text('pool'),
    describe:
      'features: the class token, or the mean of the patch tokens; none: all tokens as last_hidden_state',
  },
  format: {
    choices: ['onnx', 'safetensors'],
    default: 'onnx',
    coerce: text('format'),
    describe: 'A model that runs, or its weights under their published names',
  },
  'input-size': inputSizeFlag,
  threads: threadsFlag,
  device: deviceFlag,
} as const satisfies Record<string, Options>;

/** Images of the check: more than one shows that the batch axis is free. */
const checkedImages = 2;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const device = chooseDevice(argv.device);
  const { output, format } = argv;
  const pool = argv.pool as Pool;
  const weights = atInputSize(await loadWeights(argv.checkpoint, encoderParameters), argv.inputSize);
  for (const note of weights.notes) console.error(note);
  try {
    if (format === 'safetensors') await writeWeights(output, weights, pool);
    else await writeEncoderModel(output, weights.config, weights.parameters, { pool, step: weights.step });
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    throw new UserError(`export: cannot write ${output} (${code}); choose another place with -o`);
  }
  console.log(`wrote ${output}`);
  if (format === 'onnx') await check(output, weights, pool, { threads: argv.threads, device });
}

async function writeWeights(path: string, { config, parameters, step }: Weights, pool: Pool): Promise<void> {
  const tensors = encoderParameters(config).map(({ name, shape }) => {
    return { name, dtype: 'F32' as const, shape, data: bytesOf(parameters.get(name)!) };
  });
  await writeSafetensors(path, tensors, encoderMetadata(config, step, pool));
}

/** Where the evaluation graph runs. */
interface Place {
  readonly threads: number;
  readonly device: Device;
}

/**
 * Runs the file through onnxruntime-node's public API, on the CPU, and compares it with the evaluation graph's encoder on
 * the device.
 */
async function check(path: string, weights: Weights, pool: Pool, place: Place): Promise<void> {
  prepareEnvironment();
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { config } = weights;
  const { height, width } = imageSize(config);
  const images = randomImages(checkedImages * height * width * 3);
  const session = await InferenceSession.create(path, { intraOpNumThreads: place.threads });
  const input = new Tensor('float32', pixelValues(images, height * width), [checkedImages, 3, height, width]);
  const outputs = await session.run({ pixel_values: input });
  const name = session.outputNames[0]!;
  const got = outputs[name]!.data as Float32Array;
  await session.release();
  const expected = poolTokens(await latent(images, weights, place), config, pool);
  const difference = got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const shape = outputs[name]!.dims.join(', ');
  console.log(
    `${name} [${shape}]: largest difference from the evaluation graph ${difference.toExponential(1)} ` +
      `(values up to ${largest.toFixed(2)})`,
  );
  if (!(difference <= 1e-3 * Math.max(1, largest)) || got.length !== expected.length) {
    throw new Error(`export-encoder: ${path} does not compute what the evaluation graph does`);
  }
}

function randomImages(length: number): Uint8Array {
  const random = new RandomStream(0, 'sample');
  return Uint8Array.from({ length }, () => random.int(256));
}

/** uint8 [N, H, W, 3] → float32 [N, 3, H, W], (x/255 − mean) / deviation. */
function pixelValues(images: Uint8Array, area: number): Float32Array {
  return Float32Array.from(images, (_, i) => {
    const channel = Math.floor(i / area) % 3;
    const pixel = Math.floor(i / (3 * area)) * area + (i % area);
    return (images[pixel * 3 + channel]! / 255 - imagenetMean[channel]!) / imagenetDeviation[channel]!;
  });
}

/** The evaluation graph's encoder on all patches in their own order: float32 [N, 1 + L, D]. */
async function latent(
  images: Uint8Array,
  { config, parameters }: Weights,
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
