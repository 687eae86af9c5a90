import { describe, expect, test } from 'vitest';
import { BicubicResampler } from '../../src/data/resample.js';
import { difference, golden, goldens } from './support.js';

const resampler = new BicubicResampler();

describe('bicubic resampling against Pillow', () => {
  test.each(goldens.resize.map((entry, i) => ({ i, ...entry })))(
    '$source $box to $height x $width',
    ({ i, source, sourceHeight, sourceWidth, box: [left, top, right, bottom], height, width }) => {
      const out = new Uint8Array(height * width * 3);
      const pixels = { data: golden(`${source}.rgb`), height: sourceHeight, width: sourceWidth };
      resampler.resample(
        pixels,
        { left, top, width: right - left, height: bottom - top },
        out,
        height,
        width,
      );
      const apart = difference(out, golden(`resize-${i}.rgb`));
      expect(apart.within1).toBeGreaterThanOrEqual(0.99);
      expect(apart.most).toBeLessThanOrEqual(2);
      expect(apart.mean).toBeLessThan(0.05);
    },
  );
});

describe('resampling', () => {
  const photo = { data: golden('photo.rgb'), height: 97, width: 131 };

  test('flip gives the mirror image of the plain result', () => {
    const box = { left: 10.5, top: 3, width: 77, height: 90 };
    const plain = new Uint8Array(20 * 30 * 3);
    const flipped = new Uint8Array(20 * 30 * 3);
    resampler.resample(photo, box, plain, 20, 30);
    resampler.resample(photo, box, flipped, 20, 30, { flip: true });
    const mirrored = new Uint8Array(plain.length);
    for (let y = 0; y < 20; y++) {
      for (let x = 0; x < 30; x++) {
        for (let c = 0; c < 3; c++) mirrored[(y * 30 + x) * 3 + c] = plain[(y * 30 + 29 - x) * 3 + c]!;
      }
    }
    expect(flipped).toEqual(mirrored);
  });

  test('clipToBox equals cropping first', () => {
    const [left, top, width, height] = [31, 22, 50, 41];
    const cropped = new Uint8Array(width * height * 3);
    for (let y = 0; y < height; y++) {
      const start = ((top + y) * photo.width + left) * 3;
      cropped.set(photo.data.subarray(start, start + width * 3), y * width * 3);
    }
    const clipped = new Uint8Array(32 * 24 * 3);
    const wanted = new Uint8Array(32 * 24 * 3);
    const unclipped = new Uint8Array(32 * 24 * 3);
    const box = { left, top, width, height };
    resampler.resample(photo, box, clipped, 32, 24, { clipToBox: true });
    resampler.resample({ data: cropped, width, height }, { left: 0, top: 0, width, height }, wanted, 32, 24);
    resampler.resample(photo, box, unclipped, 32, 24);
    expect(clipped).toEqual(wanted);
    expect(unclipped).not.toEqual(wanted);
  });

  test('writes its slice of a shared destination and nothing beside it', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(3 * 8 * 8 * 3)).fill(7);
    const slice = shared.subarray(8 * 8 * 3, 2 * 8 * 8 * 3);
    resampler.resample(photo, { left: 0, top: 0, width: 131, height: 97 }, slice, 8, 8);
    const alone = new Uint8Array(8 * 8 * 3);
    resampler.resample(photo, { left: 0, top: 0, width: 131, height: 97 }, alone, 8, 8);
    expect([...slice]).toEqual([...alone]);
    expect(shared.subarray(0, 192).every((value) => value === 7)).toBe(true);
    expect(shared.subarray(384).every((value) => value === 7)).toBe(true);
  });
});
