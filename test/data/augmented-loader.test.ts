import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import jpeg from 'jpeg-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { drawDropPath } from '../../src/data/augment/drop-path.js';
import { drawErasedBox } from '../../src/data/augment/erasing.js';
import { drawMix, writeMix } from '../../src/data/augment/mix.js';
import { parsePolicy } from '../../src/data/augment/policy.js';
import { applyOperation, drawOperations } from '../../src/data/augment/rand-augment.js';
import { type Augmentation, pretrainAugmentation } from '../../src/data/augmentation.js';
import { TrainLoader, type TrainLoaderOptions, ValidationLoader } from '../../src/data/loader.js';
import { type ImageFolder, indexImageFolder } from '../../src/data/sources/image-folder.js';
import type { BatchInput } from '../../src/model/task.js';
import { UserError } from '../../src/util/errors.js';
import { RandomStream } from '../../src/util/random.js';
import { temporaryFolder } from './support.js';

const batchSize = 4;
const [height, width] = [12, 16];
const size = { height, width };
const pixels = height * width * 3;
const seed = 21;

const inputs: BatchInput[] = [
  { name: 'images', type: 'uint8', shape: [batchSize, height, width, 3], content: 'pixels' },
  { name: 'erasing', type: 'float32', shape: [batchSize, height, width, 3], content: 'erasing' },
  { name: 'mix', type: 'float32', shape: [batchSize, 2 + height + width], content: 'mix' },
  { name: 'drop_path', type: 'float32', shape: [batchSize, 6], content: 'drop-path' },
];
const crop = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] } as const;
const augmentation = {
  crop,
  flipProbability: 0.5,
  randAugment: 'rand-m9-mstd0.5-inc1',
  erasing: 0.5,
  mix: { mixup: 0.8, cutmix: 1, probability: 0.9, switchProbability: 0.5 },
  dropPath: [0, 0.2, 0.4],
  evaluationCrop: 0.875,
} satisfies Augmentation;

/** `count` pictures of waves in two class folders; the third is no picture. */
async function makeFolder(count: number): Promise<ImageFolder> {
  const root = temporaryFolder();
  for (const name of ['a', 'b']) mkdirSync(join(root, name));
  for (let i = 0; i < count; i++) {
    const [w, h] = [40 + i, 60 - i];
    const data = Buffer.alloc(w * h * 4);
    for (let p = 0; p < w * h; p++)
      data.set([(5 * p + 9 * i) % 256, Math.floor(p / w) * 4, 128 + 90 * Math.sin(p / 9)], p * 4);
    const file = join(root, i < count / 2 ? 'a' : 'b', `${String(i).padStart(3, '0')}.jpg`);
    writeFileSync(file, i === 2 ? 'text' : jpeg.encode({ width: w, height: h, data }, 95).data);
  }
  return indexImageFolder(root);
}

function open(source: ImageFolder, options: Partial<TrainLoaderOptions> = {}): TrainLoader {
  const start = { startEpoch: 0, startBatch: 0 };
  const loader = new TrainLoader({
    source,
    inputs,
    augmentation,
    seed,
    numWorkers: 0,
    prefetch: 1,
    ...start,
    ...options,
  });
  onTestFinished(() => loader.close());
  return loader;
}

async function take(loader: TrainLoader, count: number) {
  const batches = [];
  for (let i = 0; i < count; i++) {
    const { epoch, index, inputs, release } = await loader.next();
    const arrays = Object.entries(inputs).map(([name, array]) => [name, array.slice()] as const);
    batches.push({ epoch, index, ...(Object.fromEntries(arrays) as Record<string, Float32Array>) });
    release();
  }
  return batches as ({ epoch: number; index: number } & Record<
    'images' | 'erasing' | 'mix' | 'drop_path',
    Float32Array
  >)[];
}

const row = (array: Float32Array, index: number) =>
  array.subarray((index * array.length) / batchSize, ((index + 1) * array.length) / batchSize);

describe('an augmented batch', () => {
  test('is the same with 0 and 2 workers and when it starts anywhere', async () => {
    const folder = await makeFolder(13);
    const wanted = await take(open(folder), 8);
    expect(await take(open(folder, { numWorkers: 2 }), 8)).toEqual(wanted);
    for (const [numWorkers, startEpoch, startBatch] of [
      [0, 0, 2],
      [2, 1, 1],
    ] as const) {
      const got = await take(open(folder, { numWorkers, startEpoch, startBatch }), 3);
      expect(got).toEqual(wanted.slice(startEpoch * 3 + startBatch).slice(0, 3));
    }
    const other = await take(open(folder, { seed: seed + 1 }), 1);
    for (const name of ['images', 'erasing', 'mix', 'drop_path'] as const) {
      expect(other[0]![name], name).not.toEqual(wanted[0]![name]);
      expect(wanted[3]![name], `${name} of the next epoch`).not.toEqual(wanted[0]![name]);
    }
  });

  test('is the crop with what each stream of random numbers says', async () => {
    const folder = await makeFolder(13);
    const plain = await take(open(folder, { augmentation: { ...pretrainAugmentation, crop } }), 6);
    const batches = await take(open(folder), 6);
    const policy = parsePolicy(augmentation.randAugment);
    let changed = 0;
    for (const [i, batch] of batches.entries()) {
      const mix = new Float32Array(2 + height + width);
      const mixed = drawMix(new RandomStream(seed, 'mix', batch.epoch, batch.index), size, augmentation.mix);
      writeMix(mix, size, mixed);
      for (let r = 0; r < batchSize; r++) {
        const position = batch.index * batchSize + r;
        const stream = (purpose: 'rand-augment' | 'erasing' | 'drop-path') =>
          new RandomStream(seed, purpose, batch.epoch, position);
        expect(row(batch.mix, r)).toEqual(mix);
        const factors = new Float32Array(6);
        drawDropPath(stream('drop-path'), augmentation.dropPath, factors);
        expect(row(batch.drop_path, r)).toEqual(factors);

        const data = Uint8Array.from(row(plain[i]!.images, r));
        for (const operation of drawOperations(stream('rand-augment'), policy))
          applyOperation({ ...size, data, scratch: new Uint8Array(pixels) }, operation);
        if (!Buffer.from(data).equals(Buffer.from(row(plain[i]!.images, r)))) changed++;
        const box = drawErasedBox(stream('erasing'), size, augmentation.erasing);
        const erased = row(batch.erasing, r);
        for (let y = 0; box && y < box.height; y++) {
          const start = ((box.top + y) * width + box.left) * 3;
          data.fill(0, start, start + box.width * 3);
        }
        expect(Uint8Array.from(row(batch.images, r))).toEqual(data);
        expect(erased.filter((value) => value !== 0).length).toBe(box ? box.width * box.height * 3 : 0);
      }
    }
    expect(changed).toBeGreaterThan(6); // of 24; three of four are drawn an operator, some of which change nothing
  });

  test('without an augmentation has inputs that change nothing', async () => {
    for (const batch of await take(open(await makeFolder(13), { augmentation: undefined }), 3)) {
      expect(batch.erasing.every((value) => value === 0)).toBe(true);
      expect(batch.mix.every((value) => value === 0)).toBe(true);
      expect(batch.drop_path.every((value) => value === 1)).toBe(true);
    }
  });
});

test('crops of one try are the ones that the loader takes', async () => {
  const folder = await makeFolder(13);
  const images = async (tries: 1 | 10 | undefined) =>
    (
      await take(open(folder, { augmentation: { ...pretrainAugmentation, crop: { ...crop, tries } } }), 3)
    ).map((batch) => batch.images);
  expect(await images(10)).toEqual(await images(undefined));
  expect(await images(1)).not.toEqual(await images(10));
});

test('a policy that is not understood, probabilities for another depth and an augmentation without its input are errors', async () => {
  const folder = await makeFolder(13);
  const bad = { ...augmentation, randAugment: 'rand-m9-x2' };
  for (const numWorkers of [0, 2])
    expect(() => open(folder, { augmentation: bad, numWorkers })).toThrow(UserError);
  const shallow = { ...augmentation, dropPath: [0, 0.1] };
  expect(() => open(folder, { augmentation: shallow })).toThrow('3 blocks, got 2');
  const noMix = inputs.filter(({ content }) => content !== 'mix');
  expect(() => open(folder, { inputs: noMix })).toThrow('an input of content mix');
});

describe('validation', () => {
  async function validate(
    source: ImageFolder,
    options: { augmentation?: Augmentation; numWorkers?: number },
  ) {
    const loader = new ValidationLoader({ source, inputs, seed, numWorkers: 0, ...options });
    onTestFinished(() => loader.close());
    const { inputs: arrays } = (await loader.next())!;
    return Object.fromEntries(
      Object.entries(arrays).map(([name, array]) => [name, Array.from(array as Float32Array)]),
    );
  }

  test('cuts the middle out and draws nothing', async () => {
    const folder = await makeFolder(13);
    const whole = await validate(folder, {});
    const middle = await validate(folder, { augmentation });
    expect(middle['images']).not.toEqual(whole['images']);
    expect(middle).toEqual(await validate(folder, { augmentation, numWorkers: 2 }));
    expect(await validate(folder, { augmentation: { ...augmentation, evaluationCrop: 1 } })).toEqual(whole);
    for (const name of ['erasing', 'mix', 'drop_path'])
      expect(middle[name]!.every((value) => value === 0)).toBe(true);
  });
});
