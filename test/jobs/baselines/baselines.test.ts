import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ImageFolder, indexImageFolder } from '../../../src/data/sources/image-folder.js';
import { colourStatistics, colourTable } from '../../../src/jobs/baselines/colour-statistics.js';
import { fitKMeansPatches, kMeansPatchTable } from '../../../src/jobs/baselines/k-means-patches.js';
import { type PatchFilters, patchNumbers, whiteningOf } from '../../../src/jobs/baselines/patch-filters.js';
import { pixelTable } from '../../../src/jobs/baselines/pictures.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { RandomStream } from '../../../src/util/random.js';
import { fileFolder } from '../../support/cli-files.js';

const side = 64;
const images = join(fileFolder(), 'images');
const runtime = new Runtime({ threads: 1 });
afterAll(() => runtime.release());
const silent = () => {};
const options = { batchSize: 2, numWorkers: 0, seed: 1 };
let pictures: Uint8Array[];
let source: ImageFolder;

/** Gradients with noise, without loss, at the size that is read: nothing is resampled. */
function picture(index: number): Uint8Array {
  const random = new RandomStream(7, 'sample', index);
  return Uint8Array.from({ length: side * side * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % side, Math.floor(i / (3 * side)), i % 3];
    return Math.max(0, Math.min(255, 40 * index + x * (c + 1) + y * (2 - c) + 20 * random.normal()));
  });
}

beforeAll(async () => {
  mkdirSync(images);
  pictures = [0, 1, 2].map(picture);
  for (const [i, pixels] of pictures.entries()) {
    const raw = { width: side, height: side, channels: 3 } as const;
    await sharp(pixels, { raw })
      .png()
      .toFile(join(images, `${i}.png`));
  }
  source = await indexImageFolder(images);
});

describe('colour statistics', () => {
  /** By sorting, not by a histogram. */
  function expected(pixels: Uint8Array): number[] {
    const rgb = Array.from({ length: pixels.length / 3 }, (_, i) => [...pixels.subarray(3 * i, 3 * i + 3)]);
    const channels = [
      ...[0, 1, 2].map((c) => rgb.map((pixel) => pixel[c]!)),
      rgb.map(([r, g]) => r! - g!),
      rgb.map(([r, g, b]) => r! + g! - 2 * b!),
      rgb.map(([r, g, b]) => r! + g! + b!),
    ];
    return channels.flatMap((values) => {
      const sorted = values.sort((a, b) => a - b);
      const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
      const variance = sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / sorted.length;
      const ranks = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1].map((q) => Math.floor(q * (sorted.length - 1)));
      return [mean, Math.sqrt(variance), ...ranks.map((rank) => sorted[rank]!)];
    });
  }

  test('are 54 numbers of each picture, in the order of the folder', async () => {
    const { values, shape } = await colourTable(source, options, silent, silent);
    expect(shape).toEqual([3, 54]);
    const all = pictures.flatMap(expected);
    for (const [i, value] of values.entries()) expect(value).toBeCloseTo(all[i]!, 2);
  });

  test('of one colour have no deviation', () => {
    const grey = colourStatistics(new Uint8Array(12).fill(9));
    expect([...grey.subarray(0, 9)]).toEqual([9, 0, 9, 9, 9, 9, 9, 9, 9]);
    expect([...grey.subarray(27, 36)]).toEqual(Array.from({ length: 9 }, () => 0));
  });
});

test('pixels are those of the picture, or of it made smaller', async () => {
  const whole = await pixelTable(source, side, options, silent, silent);
  expect([...whole.values]).toEqual(pictures.flatMap((pixels) => [...pixels]));
  const { values, shape } = await pixelTable(source, 16, options, silent, silent);
  expect(shape).toEqual([3, 768]);
  // the mean of a picture is that of its smaller version
  for (const [i, pixels] of pictures.entries()) {
    const small = values.subarray(i * 768, (i + 1) * 768);
    const mean = (of: ArrayLike<number>) => Array.from(of).reduce((sum, value) => sum + value, 0) / of.length;
    expect(Math.abs(mean(small) - mean(pixels))).toBeLessThan(1);
  }
});

test('whitened patches have no correlation and variance 1', () => {
  const random = new RandomStream(3, 'sample');
  const rows = 1200;
  const patches = new Float32Array(rows * patchNumbers);
  for (let row = 0; row < rows; row++) {
    const shared = 30 * random.normal(); // of all numbers of a patch
    for (let i = 0; i < patchNumbers; i++) {
      patches[row * patchNumbers + i] = shared + (20 + i) * random.normal() + 5;
    }
  }
  const { mean, whitening } = whiteningOf(patches);
  const white = Array.from({ length: rows }, (_, row) =>
    times(patches.subarray(row * patchNumbers, (row + 1) * patchNumbers), mean, whitening),
  );
  for (const [i, j] of [
    [0, 0],
    [0, 1],
    [50, 50],
    [50, 107],
    [107, 107],
  ] as const) {
    const covariance = white.reduce((sum, patch) => sum + patch[i]! * patch[j]!, 0) / rows;
    expect(covariance).toBeCloseTo(i === j ? 1 : 0, 2);
  }
});

/** (patch − mean)·W in float64. */
function times(patch: Float32Array, mean: Float32Array, whitening: Float32Array): number[] {
  return Array.from({ length: patchNumbers }, (_, j) => {
    let sum = 0;
    for (let i = 0; i < patchNumbers; i++) sum += (patch[i]! - mean[i]!) * whitening[i * patchNumbers + j]!;
    return sum;
  });
}

describe('k-means patches', () => {
  /** Coates, Lee & Ng's features of one picture, pixel by pixel. */
  function responses(pixels: Uint8Array, { mean, whitening, centroids }: PatchFilters): Float64Array {
    const count = centroids.length / patchNumbers;
    const sums = new Float64Array(4 * count);
    const places = 30;
    for (let row = 0; row < places; row++) {
      for (let column = 0; column < places; column++) {
        const numbers: number[] = [];
        // squares of 2 × 2 pixels, three by three of them
        for (let square = 0; square < 9; square++) {
          for (let pixel = 0; pixel < 4; pixel++) {
            const y = 2 * row + 2 * Math.floor(square / 3) + (pixel >> 1);
            const x = 2 * column + 2 * (square % 3) + (pixel & 1);
            numbers.push(...pixels.subarray((y * side + x) * 3, (y * side + x) * 3 + 3));
          }
        }
        const average = numbers.reduce((sum, value) => sum + value, 0) / patchNumbers;
        const variance = numbers.reduce((sum, value) => sum + (value - average) ** 2, 0) / patchNumbers;
        const normal = numbers.map((value) => (value - average) / Math.sqrt(variance + 10));
        const white = times(Float32Array.from(normal), mean, whitening);
        const distances = Array.from({ length: count }, (_, k) => {
          const centroid = centroids.subarray(k * patchNumbers, (k + 1) * patchNumbers);
          return Math.sqrt(white.reduce((sum, value, i) => sum + (value - centroid[i]!) ** 2, 0));
        });
        const middle = distances.reduce((sum, value) => sum + value, 0) / count;
        const quarter = 2 * Math.floor(row / 15) + Math.floor(column / 15);
        for (const [k, distance] of distances.entries())
          sums[quarter * count + k]! += Math.max(0, middle - distance);
      }
    }
    return sums;
  }

  test('are the sums of triangle activations in the quarters, as computed one patch at a time', async () => {
    const filters = await fitKMeansPatches(runtime, source, options, silent, silent);
    const few = { ...filters, centroids: filters.centroids.slice(0, 12 * patchNumbers) };
    const { values, shape } = await kMeansPatchTable(runtime, few, source, options, silent, silent);
    expect(shape).toEqual([3, 48]);
    const expected = responses(pictures[1]!, few);
    for (let i = 0; i < 48; i++) {
      expect(Math.abs(values[48 + i]! - expected[i]!)).toBeLessThan(1e-3 * expected[i]! + 1e-2);
    }
    expect(Math.max(...expected)).toBeGreaterThan(100);
  });

  test('the same filters with workers and without, others by another seed', async () => {
    const filtersOf = (seed: number, numWorkers: number) =>
      fitKMeansPatches(runtime, source, { seed, numWorkers }, silent, silent);
    const [first, again, other] = [await filtersOf(1, 0), await filtersOf(1, 2), await filtersOf(2, 0)];
    expect(again).toEqual(first);
    expect(other.centroids).not.toEqual(first.centroids);
  });
});
