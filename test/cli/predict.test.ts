/** `mae predict` and `mae export-classifier` through the command line; `test/jobs/classifier.test.ts` has the numbers. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { writeClassifier } from '../support/classifier-file.js';
import { writePictures } from '../support/classifier-pictures.js';
import { mae, maeError, maeOk, maeOneLine } from '../support/cli.js';
import {
  fileFolder,
  flags,
  readLog,
  readTensorFile,
  writeImages,
  writeModel,
  writeTensorFile,
} from '../support/cli-files.js';

const folder = fileFolder();
const pictures = join(folder, 'pictures');
const picture = join(pictures, 'a.png');
const classes = ['zebra', 'bee, queen', 'two\nlines'];
const checkpoint = writeClassifier(folder, { kind: 'fine-tuned', pool: 'mean', classes });
beforeAll(() => writePictures(pictures));

const args = (...more: string[]) => [
  ...['predict', '--checkpoint', checkpoint, '--threads', '1', '--num-workers', '0', '--device', 'cpu'],
  ...more,
];

test('a line an image: JSON, text, CSV with quotes; no label breaks a line', async () => {
  const lines = async (...more: string[]) =>
    (await maeOk(args(picture, ...more))).stdout.trimEnd().split('\n');
  const [json, ...others] = await lines('--json');
  expect(others).toEqual([]);
  const { image, label, score, top } = JSON.parse(json!) as {
    image: string;
    label: string;
    score: number;
    top: { label: string; score: number }[];
  };
  expect(Object.keys(JSON.parse(json!))).toEqual(['image', 'label', 'score', 'top']);
  expect(image).toBe(picture);
  expect(top.map((guess) => guess.label).sort()).toEqual([...classes].sort());
  expect({ label, score }).toEqual(top[0]);
  const shares = top.map((guess) => `${guess.label} ${(100 * guess.score).toFixed(1)}%`);
  expect(await lines('--top', '2')).toEqual([
    [picture, ...shares.slice(0, 2)].join('  ').replaceAll('\n', '\\n'),
  ]);
  const [header, row] = await lines('--csv');
  expect(header).toBe('image,label,score,label_2,score_2,label_3,score_3');
  const fields = top.flatMap((guess) => [guess.label, guess.score]);
  const quoted = fields.map((field) => (/[,\n]/.test(`${field}`) ? `"${field}"` : field)).join(',');
  expect(row).toBe(`${picture},${quoted}`.replaceAll('\n', '\\n'));
});

test('images that cannot be read are named, and the rest goes on', async () => {
  const bad = join(folder, 'bad');
  mkdirSync(bad);
  writeFileSync(join(bad, 'broken.png'), 'no picture');
  const missing = join(folder, 'not-there.png');
  const { code, stdout, stderr } = await mae(args(missing, bad, picture, folder, '--top', '1'));
  expect(code).toBe(1);
  // below the folder lie the pictures once more
  expect(stdout.split('\n').filter((line) => line.startsWith(`${picture}  `))).toHaveLength(2);
  const lines = stderr.trim().split('\n');
  expect(lines.filter((line) => line.includes('broken.png'))).toHaveLength(2);
  expect(stderr).toContain(`got ${missing}: ENOENT`);
  expect(lines.at(-1)).toBe('mae: 3 of 9 images have no prediction');
  expect(await maeOneLine(args(bad))).toMatch(/^image: expected a readable .*broken\.png/);
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  expect(await maeOneLine(args(empty))).toMatch(/^image folder: expected images below .*empty/);
});

test('what cannot be told is refused with one line', async () => {
  expect(await maeOneLine(args(picture, '--json', '--csv'))).toBe(
    '--csv: expected --json or --csv, got both; leave one of them out',
  );
  expect(await maeOneLine(args())).toMatch(/^images: expected at least one path/);
  const { metadata, tensors } = readTensorFile(checkpoint);
  const encoder = join(folder, 'encoder.safetensors');
  writeTensorFile(encoder, { metadata: { ...metadata, task: 'mae', mask_ratio: '0.75' }, tensors });
  expect(await maeOneLine(['predict', picture, '--checkpoint', encoder])).toMatch(
    /^checkpoint: expected a classifier in .*run mae finetune/,
  );
});

test('tells of the validation images of a run what the run was validated by', async () => {
  const [data, run] = [join(folder, 'data'), join(folder, 'run')];
  await writeImages(data, 16);
  const options = { 'data-path': data, 'val-path': data, 'output-dir': run, model: writeModel(folder) };
  const cost = { 'batch-size': 8, epochs: 2, threads: 1, 'num-workers': 0, precision: 'fp32', lr: 1e-2 };
  await maeOk(['finetune', '--from-scratch', ...flags({ ...options, ...cost, 'eval-crop': 0.6 })]);
  const { stdout } = await maeOk([
    'predict',
    data,
    ...flags({ checkpoint: run, threads: 1, top: 100 }),
    '--json',
  ]);
  const losses = stdout
    .trim()
    .split('\n')
    .map((line) => {
      const { image, top } = JSON.parse(line) as { image: string; top: { label: string; score: number }[] };
      return -Math.log(top.find(({ label }) => label === basename(dirname(image)))!.score);
    });
  expect(losses).toHaveLength(16);
  const { loss } = readLog(run, 'val').at(-1) as unknown as { loss: number };
  expect(losses.reduce((sum, one) => sum + one, 0) / losses.length).toBeCloseTo(loss, 4);
});

test('export-classifier writes, checks and says so, and replaces no other kind of file', async () => {
  const [classifier, encoder] = [join(folder, 'classifier.onnx'), join(folder, 'encoder.onnx')];
  const exported = (command: string, path: string, ...more: string[]) => [
    ...[command, '--checkpoint', checkpoint, '-o', path, '--threads', '1', '--device', 'cpu'],
    ...more,
  ];
  const { stdout } = await maeOk(exported('export-classifier', classifier));
  expect(stdout).toMatch(
    /^wrote .*classifier\.onnx: 3 classes\nlogits \[2, 3\]: largest difference from the evaluation graph \d/,
  );
  await maeOk(exported('export-encoder', encoder, '--pool', 'mean'));
  await maeOk(exported('export-classifier', classifier));
  expect(await maeError(exported('export-encoder', classifier, '--pool', 'mean'))).toMatch(
    /expected a new file or an encoder of mae as onnx/,
  );
  expect(await maeError(exported('export-classifier', encoder))).toMatch(
    /expected a new file or a classifier of mae as onnx/,
  );
});
