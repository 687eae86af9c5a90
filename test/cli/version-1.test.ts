/** What version 0.1.0 wrote is still read: its manifests, its checkpoints and its runs. See test/goldens/version-1. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { readManifest } from '../../src/artifact/read-manifest.js';
import { writeSampleImages } from '../../src/data/pictures/sample-images.js';
import '../support/allclose.js';
import { maeError, maeOk } from '../support/cli.js';
import { fileFolder, readLog, readTensorFile, tinyModel, writeModel } from '../support/cli-files.js';
import { buildArtifacts } from '../support/mae-graphs.js';

const golden = fileURLToPath(new URL('../goldens/version-1/', import.meta.url));
const folder = fileFolder();
const run = join(folder, 'run');

test('a manifest of version 1 says what one of version 2 does', () => {
  const options = { batchSize: 8, maskRatio: 0.75, predictRatio: 0.5, normPixLoss: true, accumulate: false };
  const { manifest } = buildArtifacts(tinyModel, { ...options, kernelPrecision: 'fp32' });
  // the graphs themselves are others: the gradient norm left the training graph
  const { files: _, ...wanted } = JSON.parse(JSON.stringify(manifest));
  const { files, ...read } = readManifest(golden);
  expect(read).toEqual(wanted);
  expect(Object.keys(files)).toEqual(['training_model.onnx', 'eval_model.onnx', 'optimizer_model.onnx']);
});

/** Says of a JPEG file that it has to be turned clockwise, and changes no pixel. */
function turnByExif(path: string): void {
  const jpeg = readFileSync(path);
  // APP1: its length, Exif, and a directory of the one field 0x0112, a SHORT of 6
  const exif = Buffer.from(
    'ffe10022457869660000' + '49492a0008000000' + '0100' + '120103000100000006000000' + '00000000',
    'hex',
  );
  writeFileSync(path, Buffer.concat([jpeg.subarray(0, 2), exif, jpeg.subarray(2)]));
}

test('a run of version 0.1.0 goes on to where that version came', async () => {
  writeModel(folder);
  // that version saw pictures as they are stored
  for (const path of await writeSampleImages(join(folder, 'images'), { count: 24 })) turnByExif(path);
  mkdirSync(run);
  for (const name of ['config.json', 'log.jsonl', 'checkpoints'])
    cpSync(join(golden, name), join(run, name), { recursive: true });
  // that version read no such ending
  writeFileSync(join(folder, 'images', 'other.gif'), '');
  const args = ['pretrain', '--config', 'run/config.json'];
  // another recipe is still told from it
  expect(await maeError([...args, '--lr', '2e-3'], { cwd: folder })).toContain('lr 0.001 there, 0.002 here');
  expect(await maeError([...args, '--exif-rotation'], { cwd: folder })).toContain(
    'exif-rotation false there, true here',
  );
  const { stderr } = await maeOk(args, { cwd: folder });
  expect(stderr).toMatch(/continuing from run\/checkpoints\/step-3\n/);
  expect(readLog(run, 'train').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
  const { metadata, tensors } = readTensorFile(join(run, 'checkpoints', 'step-6', 'model.safetensors'));
  const there = readTensorFile(join(golden, 'step-6.safetensors'));
  expect(metadata).toEqual(there.metadata);
  expect([...tensors.keys()]).toEqual([...there.tensors.keys()]);
  for (const [name, { data }] of there.tensors) {
    // rounding alone moves the keys' biases: AdamW makes whole steps of it, 2e-3 in these three
    const atol = name.endsWith('qkv.bias') ? 4e-3 : 1e-5;
    expect(tensors.get(name)!.data, name).toBeAllclose(data, { rtol: 0, atol });
  }
  const before = readTensorFile(join(golden, 'checkpoints', 'step-3', 'model.safetensors'));
  expect(tensors.get('mask_token')!.data).not.toBeAllclose(before.tensors.get('mask_token')!.data, {
    rtol: 0,
    atol: 1e-4,
  });
  const { options } = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
  expect(options['exif-rotation']).toBe(false);
  expect(JSON.parse(readFileSync(join(run, 'artifacts', 'manifest.json'), 'utf8')).formatVersion).toBe(2);
});
