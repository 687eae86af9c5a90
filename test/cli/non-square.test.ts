/** Images that are not square, through every command; and another input size than the checkpoint's. */
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { sinCosPositions } from '../../src/model/positions.js';
import { maeOk, maeOneLine } from '../support/cli.js';
import { latestFolder, readLog, readTensorFile, tinyModel } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, pictures, args } = await trainingFiles(16);
const [picture] = pictures;
const run = join(folder, 'run');

beforeAll(async () => {
  await maeOk(args(run, { 'val-path': images, 'input-size': '8x24', epochs: 1 }));
});

const exported = async (name: string, ...flags: string[]): Promise<ort.InferenceSession> => {
  const path = join(folder, name);
  await maeOk(['export-encoder', '--checkpoint', run, '-o', path, '--pool', 'none', ...flags]);
  return ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
};

test('a run trains and validates on 2 × 6 patches', () => {
  expect(readLog(run, 'train')).not.toEqual([]);
  expect(readLog(run, 'val')[0]).toMatchObject({ images: 16 });
  const { tensors } = readTensorFile(join(latestFolder(run), 'model.safetensors'));
  const { shape, data } = tensors.get('pos_embed')!;
  expect(shape).toEqual([1, 1 + 2 * 6, tinyModel.embedDim]);
  expect(data).toEqual(sinCosPositions(2, 6, tinyModel.embedDim));
});

test('its pictures are three times as wide as high; --input-size gives them another shape', async () => {
  const output = join(folder, 'rows.png');
  // panels whose longer side is enlarged to 192 pixels at least, with gaps of 8
  for (const [flags, height, width] of [
    [[], 64, 192],
    [['--input-size', '24x8'], 192, 64],
  ] as const) {
    await maeOk(['reconstruct', picture, '--checkpoint', run, '-o', output, ...flags]);
    const metadata = await sharp(output).metadata();
    expect([metadata.height, metadata.width]).toEqual([height + 16, 4 * (width + 8) + 8]);
  }
});

test('its encoder takes [batch, 3, 8, 24]; --input-size 12x8 computes the positions of 3 × 2 patches', async () => {
  for (const [name, flags, height, width, tokens] of [
    ['own.onnx', [], 8, 24, 13],
    ['other.onnx', ['--input-size', '12x8'], 12, 8, 7],
  ] as const) {
    const session = await exported(name, ...flags);
    const pixels = new ort.Tensor('float32', new Float32Array(2 * 3 * height * width), [2, 3, height, width]);
    const { last_hidden_state: hidden } = await session.run({ pixel_values: pixels });
    expect(hidden!.dims).toEqual([2, tokens, tinyModel.embedDim]);
    await session.release();
  }
});

test('a side that patches do not fill is refused', async () => {
  const message = await maeOneLine(['reconstruct', picture, '--checkpoint', run, '--input-size', '8x25']);
  expect(message).toMatch(/--input-size: expected .*divisible by the patch size 4, got 8x25; use .*8x24/);
});
