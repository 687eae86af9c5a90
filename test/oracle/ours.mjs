/** What the scripts of this folder share: the job they are given, safetensors, one run of one of our graphs. */
import { readFileSync } from 'node:fs';
import { gradientNormModelFile, gradientsDoneName, trainingModelFile } from '../../dist/artifact/manifest.js';
import {
  accumulationName,
  gradientName,
  lossScaleName,
  nextName,
} from '../../dist/compiler/training-names.js';
import { isTrained } from '../../dist/model/parameters.js';
import { sizeOf } from '../../dist/util/shape.js';
import { openSafetensors, readTensor, writeSafetensors } from '../../dist/weights/checkpoint/safetensors.js';

/** The JSON file that the command line names. */
export function readJob() {
  return JSON.parse(readFileSync(process.argv[2], 'utf8'));
}

const dtypes = new Map([
  [Float32Array, 'F32'],
  [Float64Array, 'F64'],
  [Uint8Array, 'U8'],
  [BigInt64Array, 'I64'],
]);

/** Every tensor of a file: name → { shape, data }. */
export async function readTensors(path) {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map();
    for (const [name, { shape }] of file.tensors) {
      tensors.set(name, { shape, data: await readTensor(file, name) });
    }
    return tensors;
  } finally {
    await file.close();
  }
}

/** @param tensors name → { shape, data } */
export async function writeTensors(path, tensors) {
  await writeSafetensors(
    path,
    Array.from(tensors, ([name, { shape, data }]) => ({
      name,
      shape,
      dtype: dtypes.get(data.constructor),
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    })),
  );
}

/**
 * Runs a session once with arrays of the host.
 *
 * @param inputs name → { shape, data }
 * @param outputs name → shape; all float32
 */
export async function runOnce(runtime, session, inputs, outputs) {
  const made = [];
  const tensor = ({ data, shape }) => {
    made.push(runtime.tensor(data, shape));
    return made.at(-1);
  };
  const results = new Map(
    // NaN where nothing is written
    Array.from(outputs, ([name, shape]) => [
      name,
      { shape, data: new Float32Array(sizeOf(shape)).fill(Number.NaN) },
    ]),
  );
  const bound = (tensors) =>
    Object.fromEntries(Array.from(tensors, ([name, value]) => [name, tensor(value)]));
  const binding = session.bind(bound(inputs), bound(results));
  try {
    await binding.run();
    return results;
  } finally {
    binding.release();
    for (const each of made) each.release();
  }
}

/**
 * The mean loss and gradients of a step's micro-batches, by the training graph alone.
 *
 * @param micros of each micro-batch: input → { shape, data }
 * @returns `loss`, `<parameter>_grad` and `gradient_norm`
 */
export async function gradientsOf(runtime, { manifest, files }, weights, micros) {
  const session = runtime.createSession(files.get(trainingModelFile));
  const shapes = manifest.parameters.filter(isTrained).map(({ name, shape }) => [name, shape]);
  const gradientShapes = shapes.map(([name, shape]) => [gradientName(name), shape]);
  const buffers = manifest.parameters.filter(({ name }) => manifest.buffers?.includes(name));
  const outputs = new Map([
    ['loss', []],
    [gradientsDoneName, []],
    ...gradientShapes,
    ...buffers.map(({ name, shape }) => [nextName(name), shape]),
  ]);
  let sums = new Map(shapes.map(([name, shape]) => [name, { shape, data: new Float32Array(sizeOf(shape)) }]));
  let loss = 0;
  for (const micro of micros) {
    const scale = { shape: [], data: Float32Array.of(1 / micros.length) };
    const inputs = new Map([...micro, [lossScaleName, scale], ...weights]);
    if (manifest.accumulate) for (const [name, sum] of sums) inputs.set(accumulationName(name), sum);
    const run = await runOnce(runtime, session, inputs, outputs);
    loss += run.get('loss').data[0] / micros.length;
    sums = new Map(shapes.map(([name]) => [name, run.get(gradientName(name))]));
  }
  session.release();
  const gradients = new Map(Array.from(sums, ([name, sum]) => [gradientName(name), sum]));
  const norm = runtime.createSession(files.get(gradientNormModelFile));
  const run = await runOnce(runtime, norm, gradients, new Map([['gradient_norm', []]]));
  norm.release();
  return new Map([['loss', { shape: [], data: Float64Array.of(loss) }], ...gradients, ...run]);
}

/** The part that belongs to one of `count` equal parts along the first axis. */
export function part({ shape, data }, index, count) {
  const length = data.length / count;
  return {
    shape: [shape[0] / count, ...shape.slice(1)],
    data: data.slice(index * length, (index + 1) * length),
  };
}

/** Row `index` of the first axis. */
export function row({ shape, data }, index) {
  const size = sizeOf(shape.slice(1));
  return { shape: shape.slice(1), data: data.slice(index * size, (index + 1) * size) };
}
