import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { checkEncoder } from '../../src/jobs/check-exported.js';
import { exportEncoder } from '../../src/jobs/export-encoder.js';
import { chooseDevice } from '../../src/runtime/choose-device.js';
import { loadEncoder, type Weights } from '../../src/weights/foreign/weights.js';
import { fileFolder } from '../support/cli-files.js';
import { weightsPath } from '../weights/foreign/weight-goldens.js';

// what transformers saved: 32 pixels in patches of 8
const [width, tokens] = [24, 1 + (32 / 8) ** 2];
const path = join(fileFolder(), 'encoder.onnx');
const place = { threads: 1, device: chooseDevice('cpu') };
const notes: string[] = [];
let weights: Weights;
beforeAll(async () => {
  const checkpoint = weightsPath('hf-4');
  const options = { ...place, pool: 'cls', checkpoint, output: path, format: 'onnx' } as const;
  await exportEncoder(options, (note) => notes.push(note));
  weights = await loadEncoder(checkpoint);
});

test('notes of the reader are handed on', () => {
  expect(notes).toEqual([
    expect.stringMatching(/^pos_embed of .* is not the sine-cosine table of the paper/),
  ]);
});

test('the exported file passes', async () => {
  const found = await checkEncoder(path, weights, 'cls', place);
  expect(found).toMatchObject({ name: 'features', shape: [2, width] });
  expect(found.difference).toBeLessThan(1e-5);
  expect(found.largest).toBeGreaterThan(1);
});

test('a file of other weights does not', async () => {
  const parameters = new Map(weights.parameters);
  parameters.set(
    'norm.bias',
    parameters.get('norm.bias')!.map((value) => value + 0.01),
  );
  const check = checkEncoder(path, { ...weights, parameters }, 'cls', place);
  await expect(check).rejects.toThrow(/got \d+ that differ by 1\.0e-2$/);
});

test('nor does one with another output', async () => {
  const [pooled, all] = [2 * width, 2 * tokens * width];
  await expect(checkEncoder(path, weights, 'mean', place)).rejects.toThrow(`to give ${pooled} numbers`);
  const check = checkEncoder(path, weights, 'none', place);
  await expect(check).rejects.toThrow(new RegExp(`to give ${all} numbers .* got ${pooled} that`));
});
