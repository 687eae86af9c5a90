import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadImage } from '../../../src/data/load-image.js';
import { fixedMaskEpoch, randomPermutation } from '../../../src/data/masking.js';
import { type ImageFolder, indexImageFolder } from '../../../src/data/sources/image-folder.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { Evaluator } from '../../../src/train/engine/evaluator.js';
import { ModelState, sliceOf } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import { type ValidationResult, validate } from '../../../src/train/validate.js';
import '../../support/allclose.js';
import { fileFolder, tinyModel, writeImages } from '../../support/cli-files.js';
import { randomBatch, tinyArtifacts } from '../support.js';

const folder = fileFolder();
const imageCount = 18;
let runtime: Runtime;
let images: ImageFolder;

beforeAll(async () => {
  runtime = new Runtime({ threads: 1 });
  await writeImages(folder, imageCount);
  images = await indexImageFolder(folder);
});
afterAll(() => runtime.release());

/** An evaluator of fresh weights; both go when `use` is done. */
async function withEvaluator<T>(
  batchSize: number,
  use: (evaluator: Evaluator, state: ModelState, artifacts: string) => Promise<T>,
  normPixLoss = true,
): Promise<T> {
  const { folder: artifacts, manifest } = tinyArtifacts(batchSize, { normPixLoss });
  const state = new ModelState(manifest);
  state.initialize(7);
  const byName = new Map(manifest.parameters.map((parameter) => [parameter.name, parameter]));
  const model = readFileSync(join(artifacts, 'eval_model.onnx'));
  const evaluator = new Evaluator(runtime, model, manifest, (name) =>
    sliceOf(state.parameters, byName.get(name)!),
  );
  try {
    return await use(evaluator, state, artifacts);
  } finally {
    evaluator.release();
  }
}

test.each([true, false])(
  'its loss is the training loss of the same images and masks (normPixLoss %s)',
  (norm) =>
    withEvaluator(
      4,
      async (evaluator, state, artifacts) => {
        const trainer = new Trainer(runtime, artifacts, state);
        try {
          for (const step of [1, 2]) {
            const batch = randomBatch(step, 4, state.manifest);
            const loss = await trainer.forwardBackward(batch, 0, 1);
            await evaluator.run(batch);
            const imageLoss = evaluator.outputs['image_loss']!;
            const mean = imageLoss.reduce((sum, value) => sum + value, 0) / 4;
            expect([mean]).toBeAllclose([loss], { rtol: 1e-5 });
            expect(new Set(imageLoss).size).toBe(4);
            // the evaluator reads the weights that training changes
            await trainer.reduce(loss);
            await trainer.update(step, { learningRate: 0.01, weightDecay: 0 });
            await evaluator.run();
            const after = imageLoss.reduce((sum, value) => sum + value, 0) / 4;
            expect(Math.abs(after - mean)).toBeGreaterThan(1e-3);
          }
        } finally {
          trainer.release();
        }
      },
      norm,
    ),
);

const validated = (batchSize: number, numWorkers: number, seed = 0): Promise<ValidationResult> =>
  withEvaluator(
    batchSize,
    async (evaluator, state) =>
      (await validate(evaluator, state, images, { seed, numWorkers }, () => false))!,
  );

test('the validation loss does not depend on workers or on the batch size', async () => {
  const here = await validated(6, 0);
  expect(here).toMatchObject({ images: imageCount, skippedImages: 0 });
  expect(await validated(6, 2)).toEqual(here);
  for (const batchSize of [7, 32]) {
    const other = await validated(batchSize, 1);
    expect(other).toMatchObject({ images: imageCount, skippedImages: 0 });
    expect([other.loss], `batch size ${batchSize}`).toBeAllclose([here.loss], { rtol: 1e-5 });
  }
  expect((await validated(6, 0, 1)).loss).not.toBe(here.loss);
});

test('it is the mean over the middles of the images, each with the mask of its own', async () => {
  const side = tinyModel.inputSize;
  const mean = await withEvaluator(1, async (evaluator) => {
    let sum = 0;
    for (let i = 0; i < imageCount; i++) {
      const image = await loadImage(images.name(i), { height: side, width: side, fit: 'crop' });
      const ids = new BigInt64Array((side / tinyModel.patchSize) ** 2);
      randomPermutation(ids, 0, fixedMaskEpoch, i);
      await evaluator.run({ images: image, ids_shuffle: ids });
      sum += evaluator.outputs['image_loss']![0]!;
    }
    return sum / imageCount;
  });
  expect([(await validated(8, 0)).loss]).toBeAllclose([mean], { rtol: 1e-4 });
});
