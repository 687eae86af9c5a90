import { describe, expect, test } from 'vitest';
import { reconstructionPanels } from '../../../src/data/pictures/panels.js';
import { tinyModel } from '../../support/cli-files.js';
import { randomBytes } from '../../support/random.js';

// 2 × 4 pixels in patches of 2: a left and a right patch
const model = { ...tinyModel, inputSize: [2, 4], patchSize: 2 } as const;
const image = randomBytes(3, 2 * 4 * 3);
const other = randomBytes(4, image.length);
const mean = [0.485, 0.456, 0.406];
const deviation = [0.229, 0.224, 0.225];
const meanColour = mean.map((value) => Math.round(255 * value));

/** The left (0) or right (1) patch, row by row. */
function patchOf(pixels: Uint8Array, column: number): number[] {
  return [0, 1].flatMap((y) => [...pixels.subarray((y * 4 + column * 2) * 3, (y * 4 + column * 2 + 2) * 3)]);
}

const normalized = (patch: number[]) =>
  patch.map((byte, i) => (byte / 255 - mean[i % 3]!) / deviation[i % 3]!);

/** Without mean and unbiased deviation, as the loss of --norm-pix-loss has its targets. */
function standardized(patch: number[]): number[] {
  const values = normalized(patch);
  const center = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return values.map((value) => (value - center) / Math.sqrt(squares / (values.length - 1)));
}

// the right patch was visible: it is the first row of what the model gives
const idsShuffle = BigInt64Array.of(1n, 0n);

describe('of a model that predicts pixels', () => {
  const pred = Float32Array.from([...normalized(patchOf(other, 1)), ...normalized(patchOf(other, 0))]);
  const panels = reconstructionPanels({ image, idsShuffle, kept: 1, pred, normPixLoss: false }, model);
  const [original, masked, predicted, pasted] = panels as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];

  test('the original is the image and the reconstruction what was predicted', () => {
    expect(panels).toHaveLength(4);
    expect(original).toEqual(image);
    expect(predicted).toEqual(other);
  });

  test('masked patches have the mean colour', () => {
    expect(patchOf(masked, 0)).toEqual([0, 1, 2, 3].flatMap(() => meanColour));
    expect(patchOf(masked, 1)).toEqual(patchOf(image, 1));
  });

  test('visible patches are pasted in', () => {
    expect(patchOf(pasted, 0)).toEqual(patchOf(other, 0));
    expect(patchOf(pasted, 1)).toEqual(patchOf(image, 1));
  });
});

test('of a model that predicts standardized patches, the original lends mean and deviation', () => {
  const pred = Float32Array.from([...standardized(patchOf(image, 1)), ...standardized(patchOf(image, 0))]);
  const given = { image, idsShuffle, kept: 1, pred };
  expect(reconstructionPanels({ ...given, normPixLoss: true }, model)[2]).toEqual(image);
  expect(reconstructionPanels({ ...given, normPixLoss: false }, model)[2]).not.toEqual(image);
});
