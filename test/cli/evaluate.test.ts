/** `mae evaluate` on a few sample images: what it prints and writes, and what it refuses. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeError, maeOk, maeOneLine } from '../support/cli.js';
import {
  type FlagValues,
  filesOf,
  flags,
  pretrainArgs,
  readTensorFile,
  tinyModel,
  writeImages,
  writeModel,
  writeTensorFile,
} from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images: train, pictures } = await trainingFiles(24);
const at = (...names: string[]) => join(folder, ...names);
const [run, val] = [at('run'), at('val')];
const valPictures = await writeImages(val, 12, 5);
const classes = readdirSync(train).sort();
const baselines = ['colour statistics', '16×16 pixels', 'k-means patches'];

beforeAll(async () => {
  const model = writeModel(folder, { ...tinyModel, depth: 2 });
  await maeOk(pretrainArgs({ 'data-path': train, model, 'output-dir': run, 'max-steps': 3, lr: 0.01 }));
});

const evaluate = (change: FlagValues = {}) => [
  'evaluate',
  ...flags({
    checkpoint: run,
    'train-path': train,
    'val-path': val,
    method: 'knn',
    'batch-size': 8,
    'num-workers': 0,
    threads: 1,
    ...change,
  }),
];

interface Row {
  readonly features: string;
  readonly pool: string | null;
  readonly dims: number;
  readonly knn: Readonly<Record<string, number>>;
  readonly logreg?: number;
  readonly logreg_top5?: number;
  readonly shots?: Readonly<Record<string, { readonly mean: number; readonly sd: number }>>;
  readonly rankme: number;
}

const rowsOf = (text: string) => (JSON.parse(text) as { rows: Row[] }).rows;

test('prints one object with the encoder and all baselines, and writes what it is made of', async () => {
  const output = at('results');
  const args = evaluate({ method: undefined, shots: '2,99', json: true, output });
  const { stdout, stderr } = await maeOk(args);
  expect(stdout.trim().split('\n')).toHaveLength(1);
  const rows = rowsOf(stdout);
  expect(rows.map(({ features, pool }) => [features, pool])).toEqual([
    ['pretrained', 'mean'],
    ['pretrained', 'cls'],
    ['pretrained, last 2 blocks', 'mean'],
    ['fresh', 'mean'],
    ['fresh', 'cls'],
    ...baselines.map((name) => [name, null]),
  ]);
  const { embedDim } = tinyModel;
  expect(rows.slice(0, 7).map(({ dims }) => dims)).toEqual([
    ...[embedDim, embedDim, 2 * embedDim, embedDim, embedDim],
    ...[54, 768],
  ]);
  for (const { knn, logreg, logreg_top5, shots, rankme } of rows) {
    expect(Object.keys(knn)).toEqual(['10', '20', '100', '200']);
    expect(Object.keys(shots!)).toEqual(['2']);
    const { mean, sd } = shots!['2']!;
    for (const share of [...Object.values(knn), logreg!, logreg_top5!, mean, sd]) {
      expect(share).toBeGreaterThanOrEqual(0);
      expect(share).toBeLessThanOrEqual(1);
    }
    expect(logreg_top5!).toBeGreaterThanOrEqual(logreg!);
    expect(rankme).toBeGreaterThanOrEqual(1);
  }
  expect(stderr).toMatch(/--shots 99 left out: .* has \d+ images in /);

  expect(readdirSync(output).sort()).toEqual([
    'confusion.csv',
    'confusion.png',
    'neighbours.png',
    'results.json',
  ]);
  const results = JSON.parse(readFileSync(join(output, 'results.json'), 'utf8'));
  expect(results.rows).toEqual(rows);
  const [header, ...counts] = parse(readFileSync(join(output, 'confusion.csv'))) as string[][];
  expect(header).toEqual(['true', ...classes]);
  const sum = (numbers: number[]) => numbers.reduce((total, number) => total + number, 0);
  for (const [i, [name, ...row]] of counts.entries()) {
    expect(name).toBe(classes[i]);
    expect(sum(row.map(Number))).toBe(readdirSync(join(val, name!)).length);
  }
  // the diagonal is what the first row says
  const right = sum(counts.map((row, i) => Number(row[i + 1])));
  expect(right / valPictures.length).toBeCloseTo(rows[0]!.logreg!, 10);
  for (const name of ['confusion.png', 'neighbours.png']) {
    const { width, height } = await sharp(join(output, name)).metadata();
    expect(Math.min(width, height)).toBeGreaterThan(200);
  }
});

test('the same output twice, with workers and without, over earlier results', async () => {
  const output = at('again');
  const first = await maeOk(evaluate({ json: true, output }));
  const before = filesOf(output);
  const second = await maeOk(evaluate({ json: true, output, 'num-workers': 2 }));
  expect(second.stdout).toBe(first.stdout);
  expect(filesOf(output)).toEqual(before);
  expect(rowsOf(first.stdout)[0]).not.toHaveProperty('logreg');
  expect((await maeOk(evaluate({ json: true, seed: 1 }))).stdout).not.toBe(first.stdout);
});

test('a file of labels gives what class folders give', async () => {
  const flat = (paths: readonly string[], root: string, name: string) => {
    mkdirSync(at(name), { recursive: true });
    // the order of class folders: rows are the same, in the same order
    return paths.map((path) => {
      const [label] = relative(root, path).split('/');
      const copy = at(name, relative(root, path).replace('/', '--'));
      cpSync(path, copy);
      return `${copy},${label}`;
    });
  };
  const lines = [...flat(pictures, train, 'flat-train'), ...flat(valPictures, val, 'flat-val')];
  writeFileSync(at('labels.csv'), ['path,label', ...lines, ''].join('\n'));
  const folders = await maeOk(evaluate({ json: true }));
  const change = {
    'train-path': at('flat-train'),
    'val-path': at('flat-val'),
    labels: at('labels.csv'),
    json: true,
  } as const;
  expect((await maeOk(evaluate(change))).stdout).toBe(folders.stdout);
});

test('without --json prints a table in per cent, and whether the encoder is worth it; the same folder twice is said', async () => {
  const { stdout, stderr } = await maeOk(evaluate({ 'val-path': train }));
  expect(stderr).toMatch(/--val-path is --train-path: the same pictures/);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toMatch(/^features +kNN 20 +RankMe$/);
  const table = lines.slice(0, 9);
  expect(new Set(table.map((line) => line.length)).size).toBe(1);
  expect(lines[9]).toBe('');
  expect(lines[10]).toMatch(/^best: kNN 20 .+ \(\d+\.\d\)$/);
  expect(lines[11]).toMatch(
    /^the encoder (beats every baseline in every column|does not beat .+ in kNN 20)$/,
  );
});

describe('what cannot be is one line', () => {
  const copied = (name: string, from: string, change: (folder: string) => void) => {
    cpSync(from, at(name), { recursive: true });
    change(at(name));
    return at(name);
  };
  const changedWeights = (name: string, change: (tensors: Map<string, { data: Float32Array }>) => void) => {
    const { metadata, tensors } = readTensorFile(join(run, 'checkpoints', 'step-3', 'model.safetensors'));
    const changed = new Map(tensors);
    change(changed);
    writeTensorFile(at(name), { metadata, tensors: changed });
    return at(name);
  };
  const cases: [string, () => FlagValues, RegExp][] = [
    [
      'one class',
      () => ({ 'train-path': join(train, classes[0]!), 'val-path': join(val, classes[0]!) }),
      /^classes: expected two or more in .*; put/,
    ],
    [
      'a class of val that train lacks',
      () => ({
        'train-path': copied('fewer', train, (path) => rmSync(join(path, classes[1]!), { recursive: true })),
      }),
      new RegExp(`^classes: expected those of .*fewer .* got ${classes[1]} as well; remove`),
    ],
    [
      'a class without images in val',
      () => ({
        'val-path': copied('lacking', val, (path) => rmSync(join(path, classes[1]!), { recursive: true })),
      }),
      new RegExp(`^classes: expected images .* of each class in .*lacking, got none of ${classes[1]}; add`),
    ],
    [
      'one image in a class',
      () => ({
        method: 'logreg',
        'train-path': copied('single', train, (path) => {
          const names = readdirSync(join(path, classes[0]!));
          for (const name of names.slice(1)) rmSync(join(path, classes[0]!, name));
        }),
      }),
      new RegExp(
        `^classes: expected two images or more of each class in .*single, got one of ${classes[0]};`,
      ),
    ],
    [
      'an unknown method',
      () => ({ method: 'knn,svm' }),
      /^--method: expected one of knn, logreg, got "svm"$/,
    ],
    ['a method twice', () => ({ method: 'knn,knn' }), /^--method: expected each value once, got knn twice$/],
    ['no shots', () => ({ shots: '10,0' }), /^--shots: expected a whole number of at least 1, got 0$/],
    [
      'a block that is not there',
      () => ({ layer: 3 }),
      /^--layer: expected a block of the encoder, 1 to 2, got 3$/,
    ],
    ['results among the images', () => ({ output: join(train, 'results') }), /^output: .*in the images of/],
    ['results in a run', () => ({ output: run }), /^output: expected a folder of its own .* run directory/],
    ['a missing folder', () => ({ 'val-path': at('nowhere') }), /got nothing at .*nowhere/],
    [
      'a checkpoint without an encoder',
      () => ({
        checkpoint: changedWeights('decoder.safetensors', (tensors) => {
          for (const name of tensors.keys()) if (!name.startsWith('decoder')) tensors.delete(name);
        }),
      }),
      /^checkpoint: expected an encoder in .*decoder\.safetensors, got none of its tensors/,
    ],
  ];
  test.each(cases)('%s', async (_, change, message) => {
    expect(await maeOneLine(evaluate(change()))).toMatch(message);
  });

  test('an encoder whose features are all the same', async () => {
    const checkpoint = changedWeights('collapsed.safetensors', (tensors) => {
      tensors.get('norm.weight')!.data.fill(0);
    });
    expect(await maeError(evaluate({ checkpoint }))).toMatch(
      /^pretrained, mean: features: expected features that differ between pictures, got the same for all/,
    );
  });

  test('a file of something else is not replaced', async () => {
    mkdirSync(at('mine'));
    writeFileSync(at('mine', 'confusion.csv'), 'mine');
    expect(await maeOneLine(evaluate({ output: at('mine') }))).toMatch(
      /^output: expected a new file or results of mae evaluate at .*confusion\.csv, got a file of something else;/,
    );
    expect(readFileSync(at('mine', 'confusion.csv'), 'utf8')).toBe('mine');
    expect(existsSync(at('mine', 'results.json'))).toBe(false);
  });
});
