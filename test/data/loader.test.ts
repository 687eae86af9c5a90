import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import jpeg from 'jpeg-js';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  type Batch,
  TrainLoader,
  type TrainLoaderOptions,
  ValidationLoader,
  type ValidationLoaderOptions,
} from '../../src/data/loader.js';
import { ImageFolder, indexImageFolder } from '../../src/data/sources/image-folder.js';
import { UserError } from '../../src/util/errors.js';
import { RandomStream } from '../../src/util/random.js';
import { type ImageShape, imageInputs } from '../support/image-inputs.js';
import { golden, temporaryFolder } from './support.js';

const side = 16;
const patchCount = 9;
const seed = 42;

/** The grey of image i: whatever part of it is cropped, the row says which image it holds. */
const greyOf = (i: number) => 10 * i + 5;

/** A picture of one grey with, when textured, a ramp over it that shows crop and flip. */
function encode(i: number, textured: boolean): Buffer {
  const [width, height] = [40 + i, 64 - i];
  const data = Buffer.alloc(width * height * 4, greyOf(i));
  if (textured) {
    for (let p = 0; p < width * height; p++) {
      data[p * 4] = (5 * (p % width)) % 256;
      data[p * 4 + 1] = Math.floor(p / width) * 3;
    }
  }
  return Buffer.from(jpeg.encode({ width, height, data }, 95).data);
}

const bad: Record<string, Buffer> = {
  empty: Buffer.alloc(0),
  text: Buffer.from('this is no picture'),
  cut: golden('pipeline.jpg').subarray(0, 30_000),
};

/** `count` images in two class folders; those of `broken` hold one of the bad files. */
async function makeFolder(count: number, broken: number[] = [], textured = false): Promise<ImageFolder> {
  const root = temporaryFolder();
  for (const name of ['a', 'b']) mkdirSync(join(root, name));
  for (let i = 0; i < count; i++) {
    const kind = Object.keys(bad)[i % 3]!;
    const name = `${i < count / 2 ? 'a' : 'b'}/${String(i).padStart(3, '0')}.jpg`;
    writeFileSync(join(root, name), broken.includes(i) ? bad[kind]! : encode(i % 25, textured));
  }
  return indexImageFolder(root);
}

function inputs(shape: Partial<ImageShape> = {}) {
  return imageInputs({ batchSize: 4, height: side, width: side, patchCount, ...shape });
}

/** The images and the permutations of a batch. */
function arraysOf({ inputs }: Pick<Batch, 'inputs'>): { images: Uint8Array; idsShuffle: BigInt64Array } {
  return { images: inputs['images'] as Uint8Array, idsShuffle: inputs['ids_shuffle'] as BigInt64Array };
}

function openTrain(folder: ImageFolder, options: Partial<TrainLoaderOptions> = {}): TrainLoader {
  const start = { startEpoch: 0, startBatch: 0 };
  const loader = new TrainLoader({
    source: folder,
    inputs: inputs(),
    seed,
    numWorkers: 0,
    ...start,
    ...options,
  });
  onTestFinished(() => loader.close());
  return loader;
}

function openValidation(
  folder: ImageFolder,
  options: Partial<ValidationLoaderOptions> = {},
): ValidationLoader {
  const loader = new ValidationLoader({ source: folder, inputs: inputs(), seed, numWorkers: 0, ...options });
  onTestFinished(() => loader.close());
  return loader;
}

/** The next batches, copied. */
async function take(loader: TrainLoader, count: number) {
  const batches = [];
  for (let i = 0; i < count; i++) {
    const batch = await loader.next();
    const { epoch, index, skipped, release } = batch;
    const { images, idsShuffle } = arraysOf(batch);
    batches.push({ epoch, index, images: Buffer.from(images), idsShuffle: idsShuffle.slice(), skipped });
    release();
  }
  return batches;
}

/** Which plain image each row holds. */
function imagesIn(images: Uint8Array, rows: number): number[] {
  return Array.from({ length: rows }, (_, row) => {
    const pixels = images.subarray(row * side * side * 3, (row + 1) * side * side * 3);
    const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
    return Math.round((mean - 5) / 10);
  });
}

describe('TrainLoader', () => {
  test('goes through every image once an epoch, in the order of its random stream', async () => {
    const folder = await makeFolder(18);
    const loader = openTrain(folder);
    expect(loader.batchesPerEpoch).toBe(4);
    const batches = await take(loader, 9);
    expect(batches.map(({ epoch, index }) => [epoch, index])).toEqual(
      [...Array(9).keys()].map((i) => [Math.floor(i / 4), i % 4]),
    );
    for (const epoch of [0, 1]) {
      const seen = batches
        .filter((batch) => batch.epoch === epoch)
        .flatMap(({ images }) => imagesIn(images, 4));
      expect(seen).toEqual([...new RandomStream(seed, 'order', epoch).permutation(18)].slice(0, 16));
    }
    const first = new RandomStream(seed, 'mask', 1, 6).permutation(patchCount);
    expect(batches[5]!.idsShuffle.slice(2 * patchCount, 3 * patchCount)).toEqual(
      BigInt64Array.from(first, BigInt),
    );
  });

  test('gives the same bytes with 0, 1 and 3 workers and when it starts anywhere, bad files or not', async () => {
    const folder = await makeFolder(18, [2, 3, 9, 17], true);
    const wanted = await take(openTrain(folder), 10);
    expect(wanted.some(({ skipped }) => skipped.length > 0)).toBe(true);
    for (const numWorkers of [1, 3]) {
      expect(await take(openTrain(folder, { numWorkers, prefetch: 3 }), 10)).toEqual(wanted);
    }
    for (const [numWorkers, start] of [
      [0, 1],
      [2, 3],
      [0, 5],
      [2, 9],
    ] as const) {
      const loader = openTrain(folder, {
        numWorkers,
        startEpoch: Math.floor(start / 4),
        startBatch: start % 4,
      });
      expect(await take(loader, 10 - start), `from batch ${start}`).toEqual(wanted.slice(start));
    }
    // The position after the last batch of an epoch is the first of the next one.
    expect(await take(openTrain(folder, { startBatch: 4 }), 2)).toEqual(wanted.slice(4, 6));
    expect((await take(openTrain(folder, { seed: 43 }), 1))[0]!.images).not.toEqual(wanted[0]!.images);
    expect(wanted[0]!.images).not.toEqual(wanted[4]!.images);
  });

  test('gives the same bytes with the kernels, without them and where their library is not there', async () => {
    const folder = await makeFolder(12, [], true);
    onTestFinished(() => void vi.unstubAllEnvs());
    const images = [];
    for (const kernels of ['', '0', '/nowhere/kernels.so']) {
      vi.stubEnv('MAE_KERNELS', kernels);
      const batches = await take(openTrain(folder, { numWorkers: 1 }), 3);
      images.push(Buffer.concat(batches.map((batch) => batch.images)));
    }
    expect(images[1]).toEqual(images[0]);
    expect(images[2]).toEqual(images[0]);
  });

  test('tells the paths of a batch’s images, row by row, also once it is released', async () => {
    const folder = await makeFolder(10, [3]);
    const loader = openTrain(folder);
    const order = (epoch: number) => [...new RandomStream(seed, 'order', epoch).permutation(10)];
    for (let i = 0; i < 4; i++) {
      const batch = await loader.next();
      const held = imagesIn(Buffer.from(arraysOf(batch).images), 4);
      batch.release();
      const images = order(batch.epoch);
      const wanted = [0, 1, 2, 3].map((row) => {
        const at = batch.index * 4 + row;
        return images[at] === 3 ? images[(at + 1) % 10]! : images[at]!;
      });
      expect(held).toEqual(wanted);
      expect(loader.pathsOf(batch)).toEqual(wanted.map((image) => folder.name(image)));
    }
  });

  test('names a bad file once an epoch and puts the next readable image of the order in its place', async () => {
    const broken = [0, 1, 2, 7, 11];
    const folder = await makeFolder(16, broken);
    const batches = await take(openTrain(folder, { numWorkers: 2 }), 8);
    for (const epoch of [0, 1]) {
      const order = [...new RandomStream(seed, 'order', epoch).permutation(16)];
      const wanted = order.map((_, position) => {
        while (broken.includes(order[position % 16]!)) position++;
        return order[position % 16]!;
      });
      const own = batches.filter((batch) => batch.epoch === epoch);
      expect(own.flatMap(({ images }) => imagesIn(images, 4))).toEqual(wanted);
      own.forEach(({ skipped }, index) => {
        const bads = order.slice(index * 4, index * 4 + 4).filter((image) => broken.includes(image));
        expect(skipped.map(({ path }) => path)).toEqual(bads.map((image) => folder.name(image)));
      });
      const reasons = new Map(
        own.flatMap(({ skipped }) => skipped.map(({ path, reason }) => [path, reason])),
      );
      expect(reasons.size).toBe(5);
      expect(reasons.get(folder.name(0))).toBe('empty file');
      expect(reasons.get(folder.name(1))).toMatch(/^not a JPEG, .* image: it /);
      expect(reasons.get(folder.name(2))).toMatch('truncated JPEG');
    }
  });

  test('a file that has gone is a bad file', async () => {
    const folder = await makeFolder(8);
    rmSync(folder.name(3));
    const batches = await take(openTrain(folder), 2);
    expect(batches.flatMap(({ skipped }) => skipped)).toEqual([
      { path: folder.name(3), reason: expect.stringContaining('ENOENT') },
    ]);
  });

  test('what is known to be missing is skipped as a bad file is, and does not count against the others', async () => {
    const broken = Array.from({ length: 45 }, (_, i) => 2 * i);
    const folder = await makeFolder(100, broken, true);
    const missing = new Uint8Array(new SharedArrayBuffer(100));
    for (const image of broken) missing[image] = 1;
    const known = new ImageFolder({ ...folder.share(), missing });
    const wanted = await take(openTrain(folder, { maxSkippedShare: 0.9 }), 30);
    const got = await take(openTrain(known, { maxSkippedShare: 0.1, numWorkers: 1 }), 30);
    const paths = (batches: typeof got) =>
      batches.map(({ skipped, ...batch }) => ({ ...batch, skipped: skipped.map(({ path }) => path) }));
    expect(paths(got)).toEqual(paths(wanted));
  });

  test.each([0, 2])('a folder with no readable image is a UserError (%i workers)', async (numWorkers) => {
    const folder = await makeFolder(6, [0, 1, 2, 3, 4, 5]);
    for (const maxSkippedShare of [0.5, 1]) {
      const loading = openTrain(folder, { numWorkers, maxSkippedShare }).next();
      await expect(loading).rejects.toThrow(UserError);
      await expect(loading).rejects.toThrow(/6 unreadable ones in a row, the first .*\.jpg: /);
    }
  });

  test('more bad files than allowed are a UserError, with one of them', async () => {
    const broken = Array.from({ length: 50 }, (_, i) => 2 * i); // half of 100
    const folder = await makeFolder(100, broken);
    await take(openTrain(folder, { numWorkers: 2, maxSkippedShare: 0.8 }), 30);
    const loader = openTrain(folder, { numWorkers: 2, maxSkippedShare: 0.3 });
    await take(loader, 15); // 60 images are too few to judge by
    const next = loader.next();
    await expect(next).rejects.toThrow(UserError);
    await expect(next).rejects.toThrow(/at most 30% unreadable images .* of the 64 tried, such as .*\.jpg: /);
  });

  test('fewer images than a batch are a UserError', async () => {
    const folder = await makeFolder(3);
    expect(() => openTrain(folder)).toThrow(UserError);
    expect(() => openTrain(folder)).toThrow(/at least 4 images for one batch, got 3 .*--batch-size/);
  });

  test.each([0, 2])(
    'keeps its arrays at one place and a batch until it is released (%i workers)',
    async (numWorkers) => {
      const loader = openTrain(await makeFolder(18, [], true), { numWorkers, prefetch: 2 });
      const arrays = new Set<Uint8Array>();
      const held = await loader.next();
      const heldImages = arraysOf(held).images;
      const copy = Buffer.from(heldImages);
      for (let i = 0; i < 8; i++) {
        const batch = await loader.next();
        const { images } = arraysOf(batch);
        const { release } = batch;
        expect(images.buffer).toBeInstanceOf(SharedArrayBuffer);
        arrays.add(images);
        release();
        release(); // a second time does nothing
      }
      expect(arrays.has(heldImages)).toBe(false);
      expect(arrays.size).toBeLessThanOrEqual(2);
      expect(Buffer.from(heldImages)).toEqual(copy);
      await loader.next();
      await loader.next();
      await expect(loader.next()).rejects.toThrow(/release\(\) one/);
      held.release();
      expect(arraysOf(await loader.next()).images).toBe(heldImages);
    },
  );

  test('a worker that dies is an error, not a hang', async () => {
    const workers: Worker[] = [];
    const listen = (worker: Worker) => workers.push(worker);
    process.on('worker', listen);
    onTestFinished(() => void process.off('worker', listen));
    const loader = openTrain(await makeFolder(18), { numWorkers: 2, inputs: inputs({ batchSize: 18 }) });
    (await loader.next()).release();
    expect(workers.length).toBe(2);
    await workers[1]!.terminate();
    await expect(loader.next()).rejects.toThrow('a worker ended by itself');
    await expect(loader.next()).rejects.toThrow('a worker ended by itself');
  });

  test('close() ends a next() that waits, and later ones', async () => {
    const loader = openTrain(await makeFolder(18), { numWorkers: 1, inputs: inputs({ batchSize: 18 }) });
    const waiting = expect(loader.next()).rejects.toThrow('closed');
    await loader.close();
    await waiting;
    await expect(loader.next()).rejects.toThrow('close');
    await loader.close();
  });

  test('the process ends by itself after close()', async () => {
    const { root } = await makeFolder(8);
    const module = (name: string) => JSON.stringify(new URL(`../../dist/data/${name}`, import.meta.url).href);
    const script = `
      import { indexImageFolder } from ${module('sources/image-folder.js')};
      import { TrainLoader } from ${module('loader.js')};
      const folder = await indexImageFolder(${JSON.stringify(root)});
      const inputs = ${JSON.stringify(inputs())};
      const loader = new TrainLoader({ source: folder, inputs, seed: 0, numWorkers: 2, startEpoch: 0, startBatch: 0 });
      (await loader.next()).release();
      await loader.close();
      console.log('closed');`;
    const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 30_000,
    });
    expect((await run).stdout).toBe('closed\n');
  });
});

describe('ValidationLoader', () => {
  async function takeAll(loader: ValidationLoader) {
    const batches = [];
    for (let batch = await loader.next(); batch; batch = await loader.next()) {
      const { release, inputs: _inputs, seconds: _, ...rest } = batch;
      const { images, idsShuffle } = arraysOf(batch);
      batches.push({ ...rest, images: Buffer.from(images), idsShuffle: idsShuffle.slice() });
      release();
    }
    return batches;
  }

  test('passes once in the order of the folder, with fixed masks, and pads the last batch', async () => {
    const folder = await makeFolder(10);
    const batches = await takeAll(openValidation(folder));
    expect(batches.map(({ count }) => count)).toEqual([4, 4, 2]);
    expect(batches.flatMap(({ imageIndices }) => [...imageIndices])).toEqual([...Array(10).keys()]);
    expect(batches.flatMap(({ images, count }) => imagesIn(images, count))).toEqual([...Array(10).keys()]);
    const last = batches[2]!;
    expect(last.images.subarray(2 * side * side * 3).every((value) => value === 0)).toBe(true);
    const mask = new RandomStream(seed, 'mask', 2 ** 32 - 1, 9).permutation(patchCount);
    expect(last.idsShuffle.slice(patchCount, 2 * patchCount)).toEqual(BigInt64Array.from(mask, BigInt));
    expect(last.idsShuffle.subarray(2 * patchCount).every((id) => id === 0n)).toBe(true);
    expect(await takeAll(openValidation(folder, { numWorkers: 2 }))).toEqual(batches);
  });

  test('leaves bad files out and names them; a batch of nothing else is passed over', async () => {
    const broken = [1, 4, 5, 6, 7, 12];
    const folder = await makeFolder(13, broken);
    const loader = openValidation(folder, { numWorkers: 2 });
    expect(loader.batchCount).toBe(4);
    const batches = await takeAll(loader);
    expect(batches.map(({ count }) => count)).toEqual([3, 4]);
    expect(batches.flatMap(({ imageIndices }) => [...imageIndices])).toEqual([0, 2, 3, 8, 9, 10, 11]);
    expect(batches.flatMap(({ images, count }) => imagesIn(images, count))).toEqual([0, 2, 3, 8, 9, 10, 11]);
    expect(batches.map(({ skipped }) => skipped.map(({ path }) => path))).toEqual([
      [folder.name(1)],
      [4, 5, 6, 7].map((i) => folder.name(i)),
    ]);
    expect(loader.skipped.map(({ path }) => path)).toEqual(broken.map((i) => folder.name(i)));
    await expect(takeAll(openValidation(folder, { maxSkippedShare: 0.4 }))).rejects.toThrow(UserError);
  });
});

const pictures = fileURLToPath(new URL('../../../shared/data/clothing/train', import.meta.url));
const noPictures = !existsSync(pictures);
if (noPictures) console.log(`skipping the test on photographs: there is no folder ${pictures}`);

test.skipIf(noPictures)('photographs load, and equally with and without workers', async () => {
  const folder = await indexImageFolder(pictures);
  const shape = { inputs: inputs({ height: 64, width: 96, batchSize: 24 }) };
  const wanted = await take(openTrain(folder, shape), 1);
  expect(wanted[0]!.skipped).toEqual([]);
  expect(await take(openTrain(folder, { ...shape, numWorkers: 2 }), 1)).toEqual(wanted);
});
