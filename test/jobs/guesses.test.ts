import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { indexImageFolder } from '../../src/data/sources/image-folder.js';
import { guessLosses, TargetSums } from '../../src/jobs/guesses.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { Evaluator } from '../../src/train/engine/evaluator.js';
import { ModelState, sliceOf } from '../../src/train/engine/model-state.js';
import { fileFolder, tinyModel, writeImages } from '../support/cli-files.js';
import { randomBytes } from '../support/random.js';
import { temporaryFolder, tinyArtifacts } from '../train/support.js';

const { inputSize: side, patchSize } = tinyModel;
const patches = (side / patchSize) ** 2;
const images = 3;
let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

/** Colours that differ between images, and noise; one patch is flat. */
function picture(seed: number): Uint8Array {
  const noise = randomBytes(seed, side * side * 3);
  return noise.map((byte, i) => {
    const [x, y] = [Math.floor(i / 3) % side, Math.floor(i / 3 / side)];
    const colour = [60, 90, 150][(i + seed) % 3]!;
    return x < patchSize && y < patchSize ? colour : colour + (byte >> 2) + 2 * y;
  });
}

/** Row r begins at patch 4r: what the four hide, 12 of 16 patches each, is each patch thrice. */
const masks = [0, 4, 8, 12].map((first) =>
  BigInt64Array.from({ length: patches }, (_, i) => BigInt((i + first) % patches)),
);

test.each([true, false])(
  'a guess has the loss that the model itself has with it (normPixLoss %s)',
  async (norm) => {
    const { folder, manifest } = tinyArtifacts(1, { normPixLoss: norm });
    const state = new ModelState(manifest);
    state.initialize(1);
    const parameter = (name: string) =>
      sliceOf(state.parameters, manifest.parameters.find((each) => each.name === name)!);
    const evaluator = new Evaluator(
      runtime,
      readFileSync(join(folder, 'eval_model.onnx')),
      manifest,
      parameter,
    );
    // a model that says the same of each pixel: the bias of its last layer, [patch² · 3], the channel fastest
    parameter('decoder_pred.weight').fill(0);
    const lossOf = async (image: Uint8Array, colour: readonly number[]) => {
      parameter('decoder_pred.bias').forEach((_, i, bias) => {
        bias[i] = colour[i % 3]!;
      });
      let sum = 0;
      for (const mask of masks) {
        await evaluator.run({ images: image, ids_shuffle: mask });
        sum += evaluator.outputs['image_loss']![0]!;
      }
      return sum / masks.length;
    };
    /** Where the parabola through three losses is lowest: the loss is a mean of squares. */
    const bestOf = async (lossAt: (x: number) => Promise<number>) => {
      const [a, b, c] = [await lossAt(-1), await lossAt(0), await lossAt(1)] as [number, number, number];
      return (a - c) / (2 * (a - 2 * b + c));
    };
    const sums = new TargetSums(tinyModel, norm);
    const all = Array.from({ length: images }, (_, seed) => picture(seed));
    for (const image of all) sums.add(image);
    const { mean, colour } = sums.losses();
    try {
      const meanLoss = async (x: number) => {
        let sum = 0;
        for (const image of all) sum += await lossOf(image, [x, x, x]);
        return sum / images;
      };
      expect(mean).toBeCloseTo(await meanLoss(await bestOf(meanLoss)), 4);
      let best = 0;
      for (const image of all) {
        const found: number[] = [];
        for (const c of [0, 1, 2])
          found.push(
            await bestOf((x) =>
              lossOf(
                image,
                [0, 1, 2].map((other) => (other === c ? x : 0)),
              ),
            ),
          );
        best += (await lossOf(image, found)) / images;
      }
      expect(colour).toBeCloseTo(best, 4);
      expect(colour).toBeLessThan(0.9 * mean);
    } finally {
      evaluator.release();
    }
  },
);

test('they follow from the seed, not from threads; what cannot be read has none', async () => {
  const folder = fileFolder();
  await writeImages(folder, 40);
  const source = await indexImageFolder(folder);
  const options = { source, normPixLoss: true, numWorkers: 0 };
  const losses = await guessLosses(tinyModel, { ...options, seed: 0 });
  expect(losses!.mean).toBeGreaterThan(0.9);
  expect(losses!.mean).toBeLessThan(1);
  expect(losses!.colour).toBeLessThan(losses!.mean);
  expect(await guessLosses(tinyModel, { ...options, seed: 0, numWorkers: 2 })).toEqual(losses);
  expect(await guessLosses(tinyModel, { ...options, seed: 1 })).not.toEqual(losses);
  const texts = temporaryFolder();
  for (let i = 0; i < 3; i++) writeFileSync(join(texts, `${i}.png`), 'text');
  expect(
    await guessLosses(tinyModel, { ...options, seed: 0, source: await indexImageFolder(texts) }),
  ).toBeUndefined();
});
