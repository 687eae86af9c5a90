import { describe, expect, test } from 'vitest';
import { cutBox, drawMix, type MixOptions, writeMix } from '../../../src/data/augment/mix.js';
import { RandomStream } from '../../../src/util/random.js';
import { augmentGoldens } from './support.js';

const size = { height: 12, width: 20 };
const published: MixOptions = { mixup: 0.8, cutmix: 1, probability: 1, switchProbability: 0.5 };
const draws = 4000;
const drawAll = (options: Partial<MixOptions>) =>
  Array.from({ length: draws }, (_, batch) =>
    drawMix(new RandomStream(6, 'mix', 0, batch), size, { ...published, ...options }),
  );
const shareOf = (mixes: ReturnType<typeof drawAll>, what: (mix: (typeof mixes)[number]) => boolean) =>
  mixes.filter(what).length / draws;
const error = 4.5 * Math.sqrt(0.25 / draws);

test.each(augmentGoldens.cuts)('the box of λ $lambda in $height × $width is timm’s', (wanted) => {
  const { box, lambda } = cutBox(wanted, wanted.lambda, wanted.centre);
  expect(box).toEqual(wanted.box);
  expect(lambda).toBeCloseTo(wanted.real, 12);
});

describe('drawMix', () => {
  test('mixes with its probability, and cuts with that of the switch', () => {
    const mixes = drawAll({ probability: 0.7, switchProbability: 0.3 });
    expect(Math.abs(shareOf(mixes, (mix) => mix !== undefined) - 0.7)).toBeLessThan(error);
    expect(Math.abs(shareOf(mixes, (mix) => mix?.box !== undefined) - 0.21)).toBeLessThan(error);
  });

  test('does only what has an α', () => {
    expect(drawAll({ cutmix: 0 }).every((mix) => mix !== undefined && mix.box === undefined)).toBe(true);
    expect(drawAll({ mixup: 0 }).every((mix) => mix?.box !== undefined)).toBe(true);
    expect(drawAll({ mixup: 0, cutmix: 0 }).every((mix) => mix === undefined)).toBe(true);
  });

  test('λ of mixup has the variance of its Beta distribution', () => {
    for (const alpha of [0.2, 0.8, 4]) {
      const lambdas = drawAll({ mixup: alpha, cutmix: 0 }).map((mix) => mix!.lambda);
      const mean = lambdas.reduce((sum, value) => sum + value, 0) / draws;
      const variance = lambdas.reduce((sum, value) => sum + (value - 0.5) ** 2, 0) / draws;
      expect(Math.abs(mean - 0.5)).toBeLessThan(error);
      expect(variance / (1 / (4 * (2 * alpha + 1)))).toBeGreaterThan(0.9);
      expect(variance / (1 / (4 * (2 * alpha + 1)))).toBeLessThan(1.1);
    }
  });
});

describe('writeMix', () => {
  const rows = (mix: Parameters<typeof writeMix>[2]) => {
    const out = new Float32Array(2 + 3 + 4).fill(9);
    writeMix(out, { height: 3, width: 4 }, mix);
    return [...out];
  };

  test('of no mix is zeros', () => expect(rows(undefined)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0]));
  test('of mixup has the share everywhere', () =>
    expect(rows({ lambda: 0.75 })).toEqual([0.25, 0.25, 1, 1, 1, 1, 1, 1, 1]));
  test('of CutMix has all of the partner in the box, and its area in the target', () =>
    expect(rows(cutBox({ height: 3, width: 4 }, 0.5, { y: 1, x: 0 }))).toEqual([
      // 2 × 2 around (1, 0), of which a column is outside: 2 of 12 pixels
      Math.fround(2 / 12),
      1,
      ...[1, 1, 0],
      ...[1, 0, 0, 0],
    ]));
});
