/**
 * Images that are not square, judged by the square goldens: a grid of 4 × 4 patches laid out anew as 2 × 8 has the
 * same patches under the same numbers, so with the same position tables every result is the same.
 */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { encoderGraph } from '../../src/artifact/exported-graphs.js';
import { featuresGraph } from '../../src/artifact/graphs.js';
import { patchifyPixels, unpatchifyPixels } from '../../src/data/pictures/pixels.js';
import { checkModelConfig, imageSize, type ModelConfig, parseModelConfig } from '../../src/model/config.js';
import { sinCosPositions } from '../../src/model/positions.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { relativeError } from '../support/allclose.js';
import { goldenNumbers, patchOf, readMaeGolden } from '../support/mae-golden.js';
import { trainingGraph } from '../support/mae-graphs.js';
import { type Arrays, runGraph } from '../support/run-graph.js';

const golden = readMaeGolden('mae-small');
const { batch, kept, normPixLoss } = golden;
const patch = golden.config.patchSize;
const config: ModelConfig = { ...golden.config, inputSize: [2 * patch, 8 * patch] };
const { height, width } = imageSize(config);
const images = new Uint8Array(golden.images.length);
for (let image = 0; image < batch; image++) {
  for (let index = 0; index < 16; index++) {
    const pixels = patchOf(golden, image, index);
    const [top, left] = [Math.floor(index / 8) * patch, (index % 8) * patch];
    pixels.forEach((byte, i) => {
      const [y, x] = [top + Math.floor(i / (3 * patch)), 3 * left + (i % (3 * patch))];
      images[(image * height + y) * width * 3 + x] = byte;
    });
  }
}

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

test('loss and gradients', async () => {
  const graph = trainingGraph(config, batch, { kept, normPixLoss, accumulate: false });
  const results = await runGraph(runtime, graph, {
    ...golden.inputs,
    images,
    loss_scale: Float32Array.of(1),
  });
  expect(results['loss']).toBeAllclose([golden.loss], { rtol: 1e-6 });
  for (const name of ['patch_embed.proj.weight', 'blocks.0.attn.qkv.weight', 'decoder_pred.weight']) {
    const reference = goldenNumbers(golden, `${name}_grad`);
    expect(relativeError(results[`${name}_grad`]!, reference), name).toBeLessThan(1e-5);
  }
});

test('the exported encoder takes [B, 3, H, W] and gives the tokens of the square one', async () => {
  const square = await runGraph(
    runtime,
    featuresGraph(golden.config, batch, ['none']),
    golden.inputs as Arrays,
  );
  const area = height * width;
  const pixels = Float32Array.from({ length: 3 * area }, (_, i) => {
    const channel = Math.floor(i / area);
    return (images[(i % area) * 3 + channel]! / 255 - golden.mean[channel]!) / golden.std[channel]!;
  });
  const graph = encoderGraph(config, 'none');
  expect(graph.inputs[0]!.shape).toEqual([1, 3, height, width]);
  const { last_hidden_state: hidden } = await runGraph(runtime, graph, {
    ...golden.inputs,
    pixel_values: pixels,
  });
  const latent = square['none'] as Float32Array;
  expect(hidden).toBeAllclose(latent.subarray(0, hidden!.length), { rtol: 1e-5, atol: 1e-5 });
});

test('positions of a grid are those of the corner of a larger one', () => {
  const large = sinCosPositions(8, 8, 48);
  const small = sinCosPositions(2, 5, 48);
  const row = (table: Float32Array, index: number) => table.subarray(index * 48, (index + 1) * 48);
  for (let y = 0; y < 2; y++) {
    for (let x = 0; x < 5; x++) expect(row(small, 1 + y * 5 + x)).toEqual(row(large, 1 + y * 8 + x));
  }
});

test('pixels to patches and back', () => {
  const one = images.subarray(0, height * width * 3);
  expect(unpatchifyPixels(patchifyPixels(one, config), config)).toEqual(one);
});

test('both sides are checked', () => {
  const sized = (inputSize: unknown) => () => parseModelConfig({ ...golden.config, inputSize }, 'model.json');
  expect(imageSize(sized([16, 64])())).toEqual({ height: 16, width: 64 });
  expect(sized([16, 60])).toThrow('divisible by the patch size 8, got 16x60; use --input-size 16x64');
  expect(sized([4, 64])).toThrow('at least one patch (8 px), got an input size of 4x64');
  expect(sized([16, 64, 3])).toThrow('expected an input size');
  expect(sized(['16', 64])).toThrow('expected an input size');
  expect(() => checkModelConfig({ ...golden.config, inputSize: 0 }, 'x')).toThrow('at least one patch');
});
