import { describe, expect, test } from 'vitest';
import { ImageError, type Pixels, type Region } from '../../src/data/decode/pixels.js';
import { nativeResampler } from '../../src/data/native-resampler.js';
import { BicubicResampler, type ResampleOptions } from '../../src/data/resample.js';
import { RandomStream } from '../../src/util/random.js';
import { ReferenceResampler } from './reference-resampler.js';
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

describe.each([
  { code: 'WebAssembly', native: null, skipped: false },
  { code: 'the kernels', native: nativeResampler(), skipped: nativeResampler() === null },
])('$code: every byte of the reference', ({ native, skipped }) => {
  if (skipped) {
    test.skip('no library of kernels with vector instructions here: npm run build', () => {});
    return;
  }
  const reference = new ReferenceResampler();
  const resampler = new BicubicResampler(native);

  /** Every level, mostly the extreme ones: they overshoot. */
  function noise(random: RandomStream, height: number, width: number): Pixels {
    const level = () => Math.max(0, Math.min(255, Math.round(random.uniform(-128, 384))));
    return { data: Uint8Array.from({ length: height * width * 3 }, level), height, width };
  }

  /** The same picture in the memory of the resampler. */
  function inPlace({ data, height, width }: Pixels): Pixels {
    const into = resampler.reserve(data.length);
    into.set(data);
    return { data: into, height, width };
  }

  function expectSame(picture: Pixels, box: Region, height: number, width: number, options: ResampleOptions) {
    const wanted = new Uint8Array(height * width * 3);
    reference.resample(picture, box, wanted, height, width, options);
    const got = new Uint8Array(wanted.length + 32).fill(7);
    const what = JSON.stringify({ picture: [picture.height, picture.width], box, height, width, options });
    for (const source of [() => picture, () => inPlace(picture)]) {
      resampler.resample(source(), box, got.subarray(16, -16), height, width, options);
      expect(Buffer.compare(got.subarray(16, -16), wanted), what).toBe(0);
    }
    expect([...got.subarray(0, 16), ...got.subarray(-16)].every((byte) => byte === 7)).toBe(true);
  }

  test('over sizes, boxes and flips drawn at random', () => {
    for (let i = 0; i < 400; i++) {
      const random = new RandomStream(20, 'sample', 0, i);
      const side = (most: number) => 1 + Math.floor(most ** random.float());
      const [height, width] = [side(150), side(150)];
      const [outHeight, outWidth] = [side(90), side(90)];
      // Boxes in whole pixels and others.
      const number = i % 2 === 0 ? Math.floor : (value: number) => value;
      const left = number(random.uniform(0, width));
      const top = number(random.uniform(0, height));
      const box = {
        left,
        top,
        width: Math.max(0.01, number(random.uniform(1, width - left))),
        height: Math.max(0.01, number(random.uniform(1, height - top))),
      };
      const options = { flip: random.float() < 0.5, clipToBox: random.float() < 0.5 };
      expectSame(noise(random, height, width), box, outHeight, outWidth, options);
    }
  });

  test.each([
    { from: [1, 1], to: [1, 1] },
    { from: [1, 1], to: [224, 224] },
    { from: [375, 500], to: [224, 224] },
    { from: [448, 448], to: [224, 224] },
    { from: [2000, 3000], to: [16, 24] },
    { from: [3000, 2], to: [5, 7] },
    { from: [1, 65_500], to: [3, 3] },
    { from: [65_500, 1], to: [3, 3] },
    { from: [40, 30], to: [1, 1] },
    { from: [3, 2], to: [300, 1000] },
  ] as const)('from $from to $to', ({ from: [height, width], to: [outHeight, outWidth] }) => {
    const picture = noise(new RandomStream(21, 'sample', height, width), height, width);
    for (const flip of [false, true]) {
      expectSame(picture, { left: 0, top: 0, width, height }, outHeight, outWidth, { flip, clipToBox: true });
    }
  });

  test('for every number of taps up to 40', () => {
    const picture = noise(new RandomStream(22, 'sample'), 80, 80);
    for (let length = 1; length <= 80; length++) {
      const box = { left: 0.25, top: 0, width: length - 0.25, height: length };
      expectSame(picture, box, 8, 9, { clipToBox: true });
    }
  });
});

test.each([null, nativeResampler()])('a picture that does not fit in memory cannot be read', (native) => {
  const huge = { data: new Uint8Array(3), height: 2 ** 28, width: 1 };
  const box = { left: 0, top: 0, width: 1, height: 2 ** 28 };
  const resampling = () => new BicubicResampler(native).resample(huge, box, new Uint8Array(12), 2, 2);
  expect(resampling).toThrow(ImageError);
});
