import { expect, test } from 'vitest';
import {
  denormalizePatches,
  patchifyPixels,
  pixelValues,
  unpatchifyPixels,
  unshuffle,
} from '../../../src/data/pictures/pixels.js';
import '../../support/allclose.js';
import { tinyModel } from '../../support/cli-files.js';
import { randomBytes, randomNormal } from '../../support/random.js';

// 4 × 6 pixels in patches of 2: two rows of three patches
const model = { ...tinyModel, inputSize: [4, 6], patchSize: 2 } as const;
const image = randomBytes(3, 4 * 6 * 3);
const mean = [0.485, 0.456, 0.406];
const deviation = [0.229, 0.224, 0.225];
const normalized = (byte: number, channel: number) => (byte / 255 - mean[channel]!) / deviation[channel]!;

test('pixelValues puts channels first, image by image', () => {
  const other = randomBytes(4, image.length);
  const values = pixelValues(Uint8Array.from([...image, ...other]), { height: 4, width: 6 });
  const wanted = [image, other].flatMap((each) =>
    [0, 1, 2].flatMap((channel) =>
      Array.from({ length: 24 }, (_, pixel) => normalized(each[pixel * 3 + channel]!, channel)),
    ),
  );
  expect(values).toBeAllclose(wanted, { rtol: 1e-6, atol: 1e-6 });
});

test('black and white are these numbers', () => {
  const values = pixelValues(Uint8Array.of(0, 0, 0, 255, 255, 255), { height: 1, width: 2 });
  // torchvision's Normalize of 0 and 1
  const wanted = [-2.117904, 2.2489083, -2.0357144, 2.4285715, -1.8044444, 2.64];
  expect(values).toBeAllclose(wanted, { rtol: 1e-6, atol: 1e-6 });
});

test('patchifyPixels goes through patches by row, then through their pixels', () => {
  const patches = patchifyPixels(image, model);
  // the fifth of six patches is in the middle of the lower row: rows 2 and 3, columns 2 and 3
  const places = [
    [2, 2],
    [2, 3],
    [3, 2],
    [3, 3],
  ] as const;
  const wanted = places.flatMap(([y, x]) =>
    [0, 1, 2].map((channel) => normalized(image[(y * 6 + x) * 3 + channel]!, channel)),
  );
  expect(patches.subarray(4 * 12, 5 * 12)).toBeAllclose(wanted, { rtol: 1e-6, atol: 1e-6 });
});

test('unpatchifyPixels is the inverse, and keeps numbers in 0…255', () => {
  const patches = patchifyPixels(image, model);
  expect(unpatchifyPixels(patches, model)).toEqual(image);
  const far = unpatchifyPixels(
    Float32Array.from(patches, (_, i) => (i % 2 === 0 ? 100 : -100)),
    model,
  );
  expect(new Set(far)).toEqual(new Set([0, 255]));
});

test('denormalizePatches gives predictions the mean and unbiased deviation of the true patch', () => {
  const truth = Float32Array.of(1, 2, 3, 4, -5, 5, -5, 5);
  const pred = Float32Array.from(randomNormal(2, [8]));
  const deviations = [Math.sqrt(5 / 3), Math.sqrt(100 / 3)];
  const wanted = Array.from(pred, (value, i) => value * deviations[i < 4 ? 0 : 1]! + (i < 4 ? 2.5 : 0));
  expect(denormalizePatches(pred, truth, 4)).toBeAllclose(wanted, { rtol: 1e-5, atol: 1e-5 });
});

test('unshuffle writes row r to the row that ids names', () => {
  const from = Float32Array.of(1, 2, 3, 4, 5, 6);
  expect([...unshuffle(from, BigInt64Array.of(2n, 0n, 1n))]).toEqual([3, 4, 5, 6, 1, 2]);
});
