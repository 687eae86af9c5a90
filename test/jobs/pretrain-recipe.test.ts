/** Where a run's schedule comes from: flags, the run that goes on, or a recipe. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  autoRecipe,
  between,
  type GivenPretrainOptions,
  pretrainRecipes,
  withRecipe,
} from '../../src/jobs/pretrain-recipe.js';
import type { ModelConfig } from '../../src/model/config.js';
import { loadModelConfig, presetNames } from '../../src/model/presets.js';
import { writeRunConfig } from '../../src/train/run-config.js';
import { optionsOf, temporaryFolder } from '../train/support.js';

const nano = loadModelConfig('mae_vit_nano_patch8_64');
const base = loadModelConfig('mae_vit_base_patch16');

/** Options without what a recipe decides. */
function given(changes: Partial<GivenPretrainOptions> = {}): GivenPretrainOptions {
  const {
    epochs: _,
    warmupEpochs: __,
    blr: ___,
    cropScale: ____,
    ...others
  } = optionsOf({ outputDir: join(temporaryFolder(), 'run') });
  return { ...others, batchSize: 32, accumIter: 4, ...changes };
}

const images = (count: number) => async () => count;
const uncounted = async (): Promise<number> => {
  throw new Error('counted');
};

test('encoders below 10 M parameters are small; the paper’s and ViT-S are not', () => {
  const small = presetNames().filter((name) => autoRecipe(loadModelConfig(name)) === 'small');
  expect(small).toEqual([
    'mae_vit_nano_patch8_64',
    'mae_vit_tiny_patch16',
    'mae_vit_tiny_patch16_dec96d1b',
    'mae_vit_tiny_patch2_32',
  ]);
  expect(pretrainRecipes()).toEqual(['auto', 'published', 'small']);
});

test('a large model has the paper’s recipe, the folder uncounted', async () => {
  const { options, recipeLine } = await withRecipe(given(), base, uncounted);
  expect(options).toMatchObject({ recipe: 'published', blr: 1.5e-4, epochs: 800, warmupEpochs: 40 });
  expect(options).not.toHaveProperty('lr');
  expect(recipeLine).toBe('recipe published: blr 0.00015, 800 epochs, 40 epochs of warm-up');
  const short = await withRecipe(given({ epochs: 10 }), base, uncounted);
  expect(short.options).toMatchObject({ epochs: 10, warmupEpochs: 0.5 });
});

test('a small model has a rate by the batch, epochs by the folder and a twentieth of warm-up', async () => {
  const { options, recipeLine } = await withRecipe(given(), nano, images(9000));
  expect(options).toMatchObject({ recipe: 'small', lr: 1.5e-3, epochs: 800, warmupEpochs: 40 });
  expect(recipeLine).toBe('recipe small: lr 0.0015, 800 epochs, 40 epochs of warm-up, crops from 50 % on');
  const large = await withRecipe(given({ batchSize: 1024 }), nano, images(2e6));
  expect(large.options).toMatchObject({ lr: 2.4e-3, epochs: 400, warmupEpochs: 20 });
  // a batch of 1024 and a folder of 100,000 lie in the middle of both rows
  const middle = await withRecipe(given({ batchSize: 256 }), nano, images(1e5));
  expect(middle.options).toMatchObject({ lr: 1.9e-3, epochs: 566, warmupEpochs: 28.3 });
});

test('flags win, and what all is given of is not spoken of', async () => {
  const flags = { epochs: 30, warmupEpochs: 0, lr: 1e-4, cropScale: 0.3 };
  const { options, recipeLine } = await withRecipe(given(flags), nano, uncounted);
  expect(options).toMatchObject(flags);
  expect(recipeLine).toBeUndefined();
  // a base rate is one too: the recipe's rate would win over it
  const rate = await withRecipe(given({ blr: 1e-3, epochs: 3 }), nano, uncounted);
  expect(rate.options).toMatchObject({ blr: 1e-3, warmupEpochs: 0.15 });
  expect(rate.options).not.toHaveProperty('lr');
  expect(rate.recipeLine).toBe('recipe small: 0.15 epochs of warm-up, crops from 50 % on');
});

test('crops of small inputs are larger; between the rows of the recipe by the shorter side', async () => {
  const scaleAt = async (config: ModelConfig) =>
    (await withRecipe(given({ epochs: 3 }), config, uncounted)).options.cropScale;
  expect(await scaleAt(loadModelConfig('mae_vit_tiny_patch2_32'))).toBe(0.5);
  expect(await scaleAt(nano)).toBe(0.5);
  // 0.5·(0.2/0.5)^(log(112/64)/log(224/64))
  expect(await scaleAt({ ...nano, inputSize: [112, 224] })).toBe(0.332);
  expect(await scaleAt(loadModelConfig('mae_vit_tiny_patch16'))).toBe(0.2);
  expect(await scaleAt(base)).toBe(0.2);
});

test('--recipe names one, whatever the size', async () => {
  const small = await withRecipe(given({ recipe: 'small' }), base, images(1000));
  expect(small.options).toMatchObject({ recipe: 'small', lr: 1.5e-3 });
  const published = await withRecipe(given({ recipe: 'published' }), nano, uncounted);
  expect(published.options).toMatchObject({ recipe: 'published', blr: 1.5e-4, warmupEpochs: 40 });
  expect(published.options).not.toHaveProperty('lr');
});

/** A run directory with a step in its log. */
async function runWith(options: Record<string, unknown>): Promise<string> {
  const run = join(temporaryFolder(), 'run');
  mkdirSync(run);
  writeFileSync(join(run, 'log.jsonl'), '{"type":"train","step":1}\n');
  const dataset = { images: 300, fingerprint: '' };
  await writeRunConfig(run, { mae: '0.1.0', node: '', onnxruntime: '', options, model: nano, dataset });
  return run;
}

test('a run from before there were recipes goes on with what it recorded', async () => {
  const outputDir = await runWith({ epochs: 800, 'warmup-epochs': 40, blr: 1.5e-4 });
  for (const recipe of [undefined, 'auto', 'published']) {
    const { options, recipeLine } = await withRecipe(
      given({ outputDir, ...(recipe && { recipe }) }),
      nano,
      uncounted,
    );
    expect(options).toMatchObject({ epochs: 800, warmupEpochs: 40, blr: 1.5e-4, cropScale: 0.2 });
    expect(options).not.toHaveProperty('lr');
    expect(options).not.toHaveProperty('recipe');
    expect(recipeLine).toBe('as the run began: blr 0.00015, 800 epochs, 40 epochs of warm-up');
  }
  // another recipe makes another run, which `findResume` refuses
  const small = await withRecipe(given({ outputDir, recipe: 'small' }), nano, images(300));
  expect(small.options).toMatchObject({ lr: 1.5e-3, recipe: 'small' });
});

test('a run keeps the numbers that its recipe had, and flags still differ from them', async () => {
  const recorded = {
    epochs: 500,
    'warmup-epochs': 11,
    blr: 1.5e-4,
    lr: 7e-4,
    'crop-scale': 0.4,
    recipe: 'small',
  };
  const outputDir = await runWith(recorded);
  for (const recipe of ['auto', 'small']) {
    const { options } = await withRecipe(given({ outputDir, recipe }), nano, uncounted);
    expect(options).toMatchObject({
      epochs: 500,
      warmupEpochs: 11,
      lr: 7e-4,
      cropScale: 0.4,
      recipe: 'small',
    });
  }
  const { options } = await withRecipe(given({ outputDir, blr: 2e-4 }), nano, uncounted);
  expect(options).toMatchObject({ epochs: 500, blr: 2e-4 });
  expect(options).not.toHaveProperty('lr');
});

test('between rows of a table values grow by a power; outside they stay', () => {
  const rows = [
    [100, 1],
    [400, 2],
    [1600, 8],
  ] as const;
  expect([1, 100, 200, 400, 800, 1600, 1e9].map((x) => between(rows, x))).toEqual([
    1,
    1,
    expect.closeTo(Math.SQRT2, 12),
    2,
    expect.closeTo(4, 12),
    8,
    8,
  ]);
});
