/** The whole model against transformers' ViTMAE, in float64: `test/goldens/mae-small*`. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Graph, input, type Value } from '../../src/compiler/graph/graph.js';
import { patchCount } from '../../src/model/config.js';
import { forwardEncoder } from '../../src/model/mae.js';
import { keptCount } from '../../src/model/mask.js';
import { encoderParameters, maeParameters } from '../../src/model/parameters.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { relativeError } from '../support/allclose.js';
import { goldenNumbers, maeGoldens, patchOf, readMaeGolden, unshuffle } from '../support/mae-golden.js';
import { evalGraph, gradientNorm, trainingGraph } from '../support/mae-graphs.js';
import { type Arrays, graphOf, runGraph } from '../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

describe.each(maeGoldens)('%s', (name) => {
  const golden = readMaeGolden(name);
  const { config, batch, kept, normPixLoss, inputs, shuffles } = golden;
  const patches = patchCount(config);
  const patchNumbers = config.patchSize ** 2 * 3;
  const pred = goldenNumbers(golden, 'pred');

  let evaluated: Arrays<Float32Array>;
  let trained: Arrays<Float32Array>;
  beforeAll(async () => {
    const options = { kept, normPixLoss };
    const training = trainingGraph(config, batch, { ...options, accumulate: false });
    evaluated = await runGraph(runtime, evalGraph(config, batch, options), inputs);
    trained = await runGraph(runtime, training, { ...inputs, loss_scale: Float32Array.of(1) });
  });

  test('the shapes and the count of kept patches', () => {
    expect(keptCount(config, golden.maskRatio)).toBe(kept);
    for (const { name, shape } of maeParameters(config)) {
      expect(golden.tensor(name).shape, name).toEqual(shape);
    }
  });

  test('loss, for training and for evaluation', () => {
    expect(trained['loss']).toBeAllclose([golden.loss], { rtol: 1e-6 });
    expect(evaluated['loss']).toBeAllclose([golden.loss], { rtol: 1e-6 });
  });

  test('predictions of every patch, put back in the order of the image', () => {
    const ours = unshuffle(evaluated['pred']!, shuffles, patchNumbers);
    expect(ours).toBeAllclose(pred, { rtol: 1e-5, atol: 1e-5 });
  });

  test('the loss of each image, from the golden predictions and the pixels; their mean is the loss', () => {
    const mask = goldenNumbers(golden, 'mask');
    const losses = shuffles.map((_, image) => {
      let sum = 0;
      for (let patch = 0; patch < patches; patch++) {
        if (mask[image * patches + patch] !== 1) continue;
        const target = targetOf(image, patch);
        const start = (image * patches + patch) * patchNumbers;
        sum += target.reduce((total, number, i) => total + (pred[start + i]! - number) ** 2, 0);
      }
      return sum / ((patches - kept) * patchNumbers);
    });
    expect(evaluated['image_loss']).toBeAllclose(losses, { rtol: 2e-6 });
    const mean = evaluated['image_loss']!.reduce((sum, loss) => sum + loss, 0) / batch;
    expect(evaluated['loss']).toBeAllclose([mean], { rtol: 1e-6 });
    expect(new Set(losses).size).toBe(batch);
  });

  /** What the decoder should predict: normalised pixels, or each patch by its own mean and unbiased deviation. */
  function targetOf(image: number, patch: number): Float64Array {
    const pixels = Float64Array.from(
      patchOf(golden, image, patch),
      (byte, i) => (byte / 255 - golden.mean[i % 3]!) / golden.std[i % 3]!,
    );
    if (!normPixLoss) return pixels;
    const mean = pixels.reduce((sum, x) => sum + x, 0) / pixels.length;
    const variance = pixels.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (pixels.length - 1);
    return pixels.map((x) => (x - mean) / Math.sqrt(variance + 1e-6));
  }

  test('latent: the encoder on the kept patches alone', async () => {
    const shuffled = input('shuffled', 'uint8', [batch, patches, patchNumbers]);
    const ids = input('ids_shuffle', 'int64', [batch, patches]);
    const values = new Map<string, Value>(
      encoderParameters(config).map(({ name, shape }) => [name, input(name, 'float32', shape)]),
    );
    const latent = forwardEncoder(config, (name) => values.get(name)!, shuffled, ids, kept);
    const graph: Graph = graphOf([shuffled, ids, ...values.values()], { latent });
    const rows = shuffles.flatMap((shuffle, image) => shuffle.map((patch) => patchOf(golden, image, patch)));
    const results = await runGraph(runtime, graph, {
      ...inputs,
      shuffled: Uint8Array.from(rows.flatMap((row) => [...row])),
    });
    expect(latent.shape).toEqual(golden.tensor('latent').shape);
    expect(results['latent']).toBeAllclose(goldenNumbers(golden, 'latent'), { rtol: 1e-5, atol: 1e-5 });
  });

  const trainable = maeParameters(config).filter(({ group }) => group !== 'fixed');

  test('a gradient of every trained parameter, and of no other', () => {
    const found = Object.keys(trained).filter((output) => output.endsWith('_grad'));
    expect(found.sort()).toEqual(trainable.map(({ name }) => `${name}_grad`).sort());
  });

  test.each(trainable.map(({ name }) => name))('the gradient of %s', (parameter) => {
    const ours = trained[`${parameter}_grad`]!;
    const reference = goldenNumbers(golden, `${parameter}_grad`);
    expect(relativeError(ours, reference), `‖difference‖ / ‖reference‖ of ${parameter}`).toBeLessThan(1e-5);
    // the keys' third of a qkv bias is zero in exact arithmetic: softmax ignores a shift
    if (parameter.endsWith('qkv.bias')) {
      const width = ours.length / 3;
      expect(ours.subarray(width, 2 * width), parameter).toBeAllclose(new Float32Array(width), {
        atol: 1e-7,
      });
    }
  });

  test('the norm of all gradients', async () => {
    let sum = 0;
    for (const { name } of trainable) {
      for (const number of goldenNumbers(golden, `${name}_grad`)) sum += number ** 2;
    }
    const norm = await gradientNorm(runtime, config, trained);
    expect([norm]).toBeAllclose([Math.sqrt(sum)], { rtol: 1e-6 });
  });
});
