/** What a training step does with the gradient inputs: accumulation in place, the scale of the loss. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { trainingModelFile } from '../../src/artifact/manifest.js';
import { Runtime } from '../../src/runtime/runtime.js';
import type { HostArray, Tensor } from '../../src/runtime/tensor.js';
import { sizeOf } from '../../src/util/shape.js';
import { relativeError } from '../support/allclose.js';
import { readMaeGolden } from '../support/mae-golden.js';
import { buildArtifacts, gradientNorm } from '../support/mae-graphs.js';
import { randomBytes, randomShuffle } from '../support/random.js';
import type { Arrays } from '../support/run-graph.js';

const golden = readMaeGolden('mae-small');
const { config, batch, maskRatio, normPixLoss } = golden;
const options = { batchSize: batch, maskRatio, normPixLoss };

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

interface Step {
  readonly images: HostArray;
  readonly ids_shuffle: HostArray;
  readonly scale: number;
}
const first: Step = { images: golden.images, ids_shuffle: golden.inputs['ids_shuffle']!, scale: 1 };
const second: Step = {
  images: randomBytes(1, golden.images.length),
  ids_shuffle: randomShuffle(2, batch, 16),
  scale: 1,
};

/** Runs steps one after the other; where the graph accumulates, gradients are updated in place. */
async function train(steps: readonly Step[], accumulate: boolean): Promise<Arrays<Float32Array>> {
  const { manifest, files } = buildArtifacts(config, { ...options, accumulate });
  const session = runtime.createSession(files.get(trainingModelFile)!);
  const results: Arrays<Float32Array> = { loss: new Float32Array(1), gradients_done: new Float32Array(1) };
  const outputs: Record<string, Tensor> = {
    loss: runtime.tensor(results['loss']!, []),
    gradients_done: runtime.tensor(results['gradients_done']!, []),
  };
  const inputs: Record<string, Tensor> = {};
  const images = new Uint8Array(golden.images.length);
  const idsShuffle = new BigInt64Array(batch * 16);
  const lossScale = new Float32Array(1);
  inputs['images'] = runtime.tensor(images, [batch, 32, 32, 3]);
  inputs['ids_shuffle'] = runtime.tensor(idsShuffle, [batch, 16]);
  inputs['loss_scale'] = runtime.tensor(lossScale, []);
  for (const { name, shape, group } of manifest.parameters) {
    inputs[name] = runtime.tensor(golden.inputs[name]!, shape);
    if (group === 'fixed') continue;
    results[`${name}_grad`] = new Float32Array(sizeOf(shape));
    const gradient = runtime.tensor(results[`${name}_grad`]!, shape);
    outputs[`${name}_grad`] = gradient;
    if (accumulate) inputs[`${name}_grad.accumulation.buffer`] = gradient;
  }
  const binding = session.bind(inputs, outputs);
  for (const step of steps) {
    images.set(step.images as Uint8Array);
    idsShuffle.set(step.ids_shuffle as BigInt64Array);
    lossScale[0] = step.scale;
    await binding.run();
  }
  session.release();
  for (const tensor of new Set([...Object.values(inputs), ...Object.values(outputs)])) tensor.release();
  return results;
}

const gradientsOf = (results: Arrays<Float32Array>): [string, Float32Array][] =>
  Object.entries(results).filter(([name]) => name.endsWith('_grad'));

test('two micro-batches accumulate, in place, to the sum of their gradients', async () => {
  const [a, b, both] = [
    await train([first], false),
    await train([second], false),
    await train([first, second], true),
  ];
  let squares = 0;
  for (const [name, sum] of gradientsOf(both)) {
    const expected = a[name]!.map((number, i) => number + b[name]![i]!);
    expect(relativeError(sum, expected), name).toBeLessThan(1e-5);
    squares += sum.reduce((total, number) => total + number ** 2, 0);
  }
  expect(gradientsOf(both)).toHaveLength(gradientsOf(a).length);
  // the norm is that of the sum, and the loss the last micro-batch's
  expect([await gradientNorm(runtime, config, both)]).toBeAllclose([Math.sqrt(squares)], { rtol: 1e-6 });
  expect(both['loss']).toBeAllclose(b['loss']!, { rtol: 1e-6 });
  expect(a['loss']).not.toBeAllclose(b['loss']!, { rtol: 1e-3 });
});

test('from zeros, an accumulating graph gives what one without accumulation gives', async () => {
  const [plain, accumulated] = [await train([first], false), await train([first], true)];
  for (const [name, gradient] of gradientsOf(plain)) {
    expect(relativeError(accumulated[name]!, gradient), name).toBeLessThan(1e-6);
  }
});

test('loss_scale scales gradients, and leaves the loss', async () => {
  const [plain, scaled] = [await train([first], false), await train([{ ...first, scale: 0.25 }], false)];
  for (const [name, gradient] of gradientsOf(plain)) {
    const expected = gradient.map((number) => 0.25 * number);
    expect(relativeError(scaled[name]!, expected), name).toBeLessThan(1e-6);
  }
  expect(scaled['loss']).toEqual(plain['loss']);
});
