import { describe, expect, test } from 'vitest';
import { centerCropBox, randomFlip, randomResizedCrop, squash } from '../../../src/data/augment/crop.js';
import { pretrainAugmentation } from '../../../src/data/augmentation.js';
import { fixedMaskEpoch, randomPermutation } from '../../../src/data/masking.js';
import { RandomStream } from '../../../src/util/random.js';
import { goldens } from '../support.js';

const { crop: pretrainCrop } = pretrainAugmentation;
const draws = 20_000;

describe('randomResizedCrop has the distribution of torchvision', () => {
  test.each(goldens.crops)('$width x $height', (wanted) => {
    const { width, height } = wanted;
    const values = {
      area: [] as number[],
      aspect: [] as number[],
      left: [] as number[],
      top: [] as number[],
    };
    for (let i = 0; i < draws; i++) {
      const crop = randomResizedCrop(new RandomStream(11, 'augment', 3, i), { width, height }, pretrainCrop);
      expect(crop.left >= 0 && crop.top >= 0 && crop.width > 0 && crop.height > 0).toBe(true);
      expect(crop.left + crop.width <= width && crop.top + crop.height <= height).toBe(true);
      values.area.push((crop.width * crop.height) / (width * height));
      values.aspect.push(crop.width / crop.height);
      values.left.push(crop.left / width);
      values.top.push(crop.top / height);
    }
    for (const name of ['area', 'aspect', 'left', 'top'] as const) {
      const sorted = values[name].sort((a, b) => a - b);
      const mean = sorted.reduce((sum, value) => sum + value, 0) / draws;
      const { mean: wantedMean, deviation, quantiles } = wanted[name];
      // Both are samples: 4.5 standard errors of the difference of the means, plus nothing where all are equal.
      const error = deviation * Math.sqrt(1 / draws + 1 / goldens.draws);
      expect(Math.abs(mean - wantedMean), `mean of ${name}`).toBeLessThanOrEqual(4.5 * error + 1e-9);
      goldens.quantiles.forEach((q, i) => {
        // A quantile is judged by rank: the share of ours below torchvision's value, a whole pixel either way.
        const pixel = 1.5 / Math.min(width, height);
        const below = sorted.filter((value) => value < quantiles[i]! - pixel).length / draws;
        const upTo = sorted.filter((value) => value <= quantiles[i]! + pixel).length / draws;
        expect(below, `${name} at ${q}`).toBeLessThanOrEqual(q + 0.02);
        expect(upTo, `${name} at ${q}`).toBeGreaterThanOrEqual(q - 0.02);
      });
    }
  });

  test('falls back to the largest central crop of an allowed aspect', () => {
    const crop = (width: number, height: number) =>
      randomResizedCrop(new RandomStream(0, 'augment'), { width, height }, pretrainCrop);
    expect(crop(1000, 10)).toEqual({ left: 493, top: 0, width: 13, height: 10 });
    expect(crop(9, 1000)).toEqual({ left: 0, top: 494, width: 9, height: 12 });
    expect(crop(1, 1)).toEqual({ left: 0, top: 0, width: 1, height: 1 });
  });
});

describe('a crop of one try', () => {
  const crop = (width: number, height: number, position = 0) =>
    randomResizedCrop(
      new RandomStream(4, 'augment', 0, position),
      { width, height },
      { scale: [0.08, 1], ratio: [3 / 4, 4 / 3], tries: 1 },
    );

  test('is the first draw of ten where that fits', () => {
    const ten = { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] } as const;
    let equal = 0;
    for (let i = 0; i < 200; i++) {
      const wanted = randomResizedCrop(new RandomStream(4, 'augment', 0, i), { width: 100, height: 80 }, ten);
      const got = crop(100, 80, i);
      if (got.width < 100 && got.height < 80) expect(got).toEqual(wanted);
      if (JSON.stringify(got) === JSON.stringify(wanted)) equal++;
    }
    expect(equal).toBeGreaterThan(150);
    expect(equal).toBeLessThan(200);
  });

  test('is clipped to the picture, whatever its shape', () => {
    for (let i = 0; i < 200; i++) {
      const { left, top, width, height } = crop(300, 20, i);
      expect(left >= 0 && top >= 0 && left + width <= 300 && top + height <= 20).toBe(true);
      expect(width > 0 && height > 0).toBe(true);
      // a share of 0.08 is 480 pixels: 18 × 25 at the flattest
      expect(height).toBeGreaterThanOrEqual(18);
      expect(width * height).toBeLessThanOrEqual(6000);
    }
    expect(crop(1, 1)).toEqual({ left: 0, top: 0, width: 1, height: 1 });
  });
});

test('half of the pictures are flipped', () => {
  let flips = 0;
  for (let i = 0; i < 10_000; i++) if (randomFlip(new RandomStream(5, 'augment', 0, i), 0.5)) flips++;
  expect(Math.abs(flips - 5000)).toBeLessThan(225); // 4.5 standard deviations
});

test('centerCropBox fits the short side and keeps the aspect of the target', () => {
  expect(centerCropBox({ width: 500, height: 375 }, { width: 224, height: 224 })).toEqual({
    left: 62.5,
    top: 0,
    width: 375,
    height: 375,
  });
  expect(centerCropBox({ width: 100, height: 400 }, { width: 200, height: 100 })).toEqual({
    left: 0,
    top: 175,
    width: 100,
    height: 50,
  });
  // 224 of 256 pixels of the shorter side
  expect(centerCropBox({ width: 500, height: 400 }, { width: 224, height: 224 }, 0.875)).toEqual({
    left: 75,
    top: 25,
    width: 350,
    height: 350,
  });
  expect(squash({ width: 5, height: 7 })).toEqual({ left: 0, top: 0, width: 5, height: 7 });
});

describe('mask permutations', () => {
  const permutation = (seed: number, epoch: number, position: number, length = 196) => {
    const out = new BigInt64Array(length);
    randomPermutation(out, seed, epoch, position);
    return out;
  };

  test('hold every patch once and depend on seed, epoch and position alone', () => {
    const ids = permutation(1, 2, 3);
    expect([...ids].sort((a, b) => Number(a - b))).toEqual(Array.from({ length: 196 }, (_, i) => BigInt(i)));
    expect(permutation(1, 2, 3)).toEqual(ids);
    for (const [seed, epoch, position] of [
      [2, 2, 3],
      [1, 3, 3],
      [1, 2, 4],
      [1, fixedMaskEpoch, 3],
    ] as const) {
      expect(permutation(seed, epoch, position)).not.toEqual(ids);
    }
  });

  test('are uniform: every patch is as often among the first quarter', () => {
    const kept = new Array<number>(16).fill(0);
    for (let i = 0; i < 8000; i++)
      for (const id of permutation(7, 0, i, 16).subarray(0, 4)) kept[Number(id)]!++;
    // χ² with 15 degrees of freedom stays below 44.3 in all but 1 of 10,000 cases.
    const chiSquare = kept.reduce((sum, count) => sum + (count - 2000) ** 2 / 2000, 0);
    expect(chiSquare).toBeLessThan(44.3);
  });
});
