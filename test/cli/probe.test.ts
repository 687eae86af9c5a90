/** Probes of `mae pretrain`: what they tell, and that they change nothing. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeClassFolders } from '../support/class-folders.js';
import { maeOk, maeOneLine } from '../support/cli.js';
import {
  type FlagValues,
  fileFolder,
  pretrainArgs,
  readLog,
  savedSteps,
  writeModel,
} from '../support/cli-files.js';

const folder = fileFolder();
const [train, val] = [join(folder, 'train'), join(folder, 'val')];
const model = writeModel(folder);
let runs = 0;
const newRun = () => join(folder, `run-${++runs}`);
const probes = { 'probe-path': train, 'probe-val-path': val, 'probe-every': 2, 'keep-best': 'probe' };

const args = (run: string, values: FlagValues = {}) =>
  pretrainArgs({
    'data-path': train,
    model,
    'output-dir': run,
    'batch-size': 8,
    epochs: 5,
    'warmup-epochs': 0,
    lr: 1e-3,
    keep: 1,
    ...values,
  });

const told = (run: string) =>
  readLog(run, 'probe').map(({ epoch, step, knn, logreg, rank_me }) => ({
    epoch,
    step,
    knn,
    logreg,
    rank_me,
  }));

beforeAll(async () => {
  await writeClassFolders(train, 8);
  await writeClassFolders(val, 3);
});

test('a run with probes has the weights of one without, and one that is stopped the same probes', async () => {
  const [plain, whole, parts] = [newRun(), newRun(), newRun()];
  await maeOk(args(plain));
  const { stderr } = await maeOk(args(whole, probes));
  for (const steps of [4, 6, 15]) await maeOk(args(parts, { ...probes, 'max-steps': steps }));
  for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
    const [a, b, c] = [plain, whole, parts].map((run) =>
      readFileSync(join(run, 'checkpoints', 'step-15', file)),
    );
    expect(b!.equals(a!), file).toBe(true);
    expect(c!.equals(a!), file).toBe(true);
  }
  expect(told(whole).map(({ epoch, step }) => [epoch, step])).toEqual([
    [1, 6],
    [3, 12],
    [4, 15],
  ]);
  // a stop at the end of an epoch is an end of its own
  expect(told(parts)).toEqual(told(whole));
  expect(stderr).toMatch(/epoch 2 {2}probe: kNN \d+\.\d\d % {2}logistic regression \d+\.\d\d % {2}RankMe \d/);
  // of equal ones the first stays, beside the newest
  const logregs = told(whole).map(({ logreg }) => logreg as number);
  const best = told(whole)[logregs.indexOf(Math.max(...logregs))]!;
  expect(readFileSync(join(whole, 'checkpoints', 'best-probe'), 'utf8')).toBe(`step-${best.step}\n`);
  expect(savedSteps(whole)).toEqual([...new Set([best.step as number, 15])]);
});

test('a probe tells what the features of its checkpoint give', async () => {
  const run = newRun();
  await maeOk(args(run, { ...probes, 'keep-best': undefined }));
  const features = async (images: string): Promise<Labelled[]> => {
    const output = join(folder, 'features.csv');
    await maeOk(['embed', '--checkpoint', run, '--data-path', images, '-o', output, '--threads', '1']);
    const [, ...rows] = readFileSync(output, 'utf8').trim().split('\n');
    rmSync(output);
    return rows.map((row) => {
      const [, label, ...numbers] = row.split(',');
      return { label: label!, values: numbers.map(Number) };
    });
  };
  const { knn } = told(run).at(-1)!;
  expect(knn).toBeCloseTo(knnAccuracy(await features(train), await features(val)), 6);
});

interface Labelled {
  readonly label: string;
  readonly values: readonly number[];
}

/** 20 neighbours by the cosine of standardised features, weighted by exp(cosine / 0.07), in plain numbers. */
function knnAccuracy(known: readonly Labelled[], asked: readonly Labelled[]): number {
  const columns = known[0]!.values.map((_, i) => known.map(({ values }) => values[i]!));
  const means = columns.map((column) => column.reduce((sum, value) => sum + value, 0) / column.length);
  const deviations = columns.map((column, i) =>
    Math.sqrt(column.reduce((sum, value) => sum + (value - means[i]!) ** 2, 0) / column.length),
  );
  const unit = ({ values }: Labelled) => {
    const standard = values.map((value, i) => (value - means[i]!) / deviations[i]!);
    const norm = Math.hypot(...standard);
    return standard.map((value) => value / norm);
  };
  const rows = known.map((row) => ({ label: row.label, values: unit(row) }));
  const right = asked.filter((query) => {
    const own = unit(query);
    const nearest = rows
      .map(({ label, values }) => ({
        label,
        cosine: values.reduce((sum, value, i) => sum + value * own[i]!, 0),
      }))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, 20);
    const votes = new Map<string, number>();
    for (const { label, cosine } of nearest)
      votes.set(label, (votes.get(label) ?? 0) + Math.exp(cosine / 0.07));
    return [...votes].sort(([, a], [, b]) => b - a)[0]![0] === query.label;
  });
  return right.length / asked.length;
}

test('the best by the loss of validation', async () => {
  const run = newRun();
  await maeOk(args(run, { 'val-path': val, 'keep-best': 'val' }));
  const losses = readLog(run, 'val').map(({ step, loss }) => ({ step, loss: loss as number }));
  const [best] = losses.toSorted((a, b) => a.loss - b.loss);
  expect(readFileSync(join(run, 'checkpoints', 'best-val'), 'utf8')).toBe(`step-${best!.step}\n`);
  await maeOk([
    'export-encoder',
    ...['--checkpoint', join(run, 'checkpoints', 'best-val'), '-o', join(folder, 'best.onnx')],
  ]);
});

describe('bad input', () => {
  test.each<[string, FlagValues, RegExp]>([
    [
      'one folder alone',
      { 'probe-path': train },
      /--probe-path: expected --probe-val-path beside it, got none/,
    ],
    ['the other alone', { 'probe-val-path': val }, /--probe-val-path: expected --probe-path beside it/],
    ['nothing to be the best by', { 'keep-best': 'probe' }, /--keep-best probe: expected --probe-path and/],
    ['no loss to be the best by', { 'keep-best': 'val' }, /--keep-best val: expected --val-path, got none/],
    [
      'one class',
      { ...probes, 'probe-path': join(train, 'red') },
      /classes: expected two or more in .*red, got none/,
    ],
  ])('%s', async (_, values, expected) => {
    expect(await maeOneLine(args(newRun(), values))).toMatch(expected);
  });

  test('pictures that cannot be read end no run', async () => {
    const other = join(folder, 'damaged');
    await writeClassFolders(other, 3);
    for (const name of ['blue', 'green', 'red'])
      for (const i of [0, 1, 2]) writeFileSync(join(other, name, `${i}.png`), 'no picture');
    const run = newRun();
    const { stderr } = await maeOk(args(run, { ...probes, 'probe-val-path': other }));
    expect(stderr).toMatch(/epoch 2 {2}no probe: .*unreadable/);
    expect(stderr).toContain('done at step 15');
    expect(readLog(run, 'probe_failed')).toHaveLength(3);
  });
});
