import { appendFileSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { listRuns } from '../../src/jobs/list-runs.js';
import { UserError } from '../../src/util/errors.js';
import { claimRunDirectory } from '../../src/weights/checkpoint/run-lock.js';
import { temporaryFolder } from '../train/support.js';

type Line = Readonly<Record<string, unknown>>;

/** Two steps an epoch, three epochs. */
const config = {
  options: { model: '/models/my-model.json', epochs: 3, 'batch-size': 4, 'accum-iter': 2 },
  model: {},
  dataset: { images: 19, fingerprint: '' },
};
const start = { type: 'start', step: 0, total_steps: 6 };
const train = (step: number) => ({ type: 'train', step, epoch: Math.floor((step - 1) / 2), loss: 1 / step });
const saved = (step: number) => ({ type: 'checkpoint', step });
const end = (step: number, how: string) => ({ type: 'end', step, how });

let clock = 1_000_000;

/** A run directory whose log has these lines; each is newer than the one before. */
function writeRun(path: string, lines: readonly Line[], options: Line = {}): string {
  mkdirSync(path, { recursive: true });
  const { options: given } = config;
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, options: { ...given, ...options } }));
  const log = join(path, 'log.jsonl');
  writeFileSync(log, lines.map((line) => `${JSON.stringify({ level: 'info', ...line })}\n`).join(''));
  utimesSync(log, ++clock, clock);
  return path;
}

async function rowsOf(folder: string) {
  const notes: string[] = [];
  const rows = await listRuns(folder, (line) => notes.push(line));
  return { rows, notes };
}

const lockOf = (host: string, pid: number) =>
  JSON.stringify({
    id: 'a0000000-0000-4000-8000-000000000000',
    pid,
    host,
    boot: null,
    pidSpace: null,
    startTicks: null,
  });

test.each<[string, string, Line[], Line?]>([
  ['finished', 'at the end of its schedule', [start, train(6), saved(6), end(6, 'finished')]],
  ['finished', 'killed after its last save', [start, train(6), saved(6)]],
  ['stopped', 'by a signal', [start, train(3), saved(3), end(3, 'stopped')]],
  ['stopped', 'by --max-steps', [start, train(4), saved(4), end(4, 'finished')], { 'max-steps': 4 }],
  ['stopped', 'by --max-steps, killed then', [start, train(4), saved(4)], { 'max-steps': 4 }],
  ['died', 'by an error', [start, train(3), saved(3), end(3, 'failed')]],
  ['died', 'without a word', [start, train(2), saved(2), train(3)]],
  ['died', 'just after a save', [start, train(2), saved(2)]],
  ['died', 'after it was resumed', [start, train(3), saved(3), end(3, 'stopped'), { ...start, step: 3 }]],
  ['died', 'before its first step', [start]],
])('%s: %s', async (state, _, lines, options) => {
  const { rows } = await rowsOf(writeRun(temporaryFolder(), lines, options));
  expect(rows).toMatchObject([{ state, problem: null }]);
});

test('a row tells what the log has', async () => {
  const probe = { type: 'probe', step: 2, epoch: 0, knn: 0.9, logreg: 0.5 };
  const run = writeRun(temporaryFolder(), [
    ...[start, train(1), train(2), { type: 'epoch', step: 2, epoch: 0, loss: 0.75 }, probe],
    ...[
      { type: 'val', step: 2, epoch: 0, loss: 0.1 },
      { ...probe, step: 4, epoch: 1, logreg: 0.25 },
      train(5),
    ],
  ]);
  appendFileSync(join(run, 'log.jsonl'), '{"type":"train","step":6,"lo');
  utimesSync(join(run, 'log.jsonl'), 1e9, 1e9);
  expect((await rowsOf(run)).rows).toEqual([
    {
      path: run,
      state: 'died',
      command: 'pretrain',
      model: 'my-model',
      step: 5,
      total_steps: 6,
      epoch: 3,
      epochs: 3,
      loss: 0.75,
      best: { name: 'logreg', value: 0.5 },
      is_partial: false,
      changed: '2001-09-09T01:46:40.000Z',
      problem: null,
    },
  ]);
});

test.each<[string, Line[], unknown]>([
  [
    'the highest accuracy',
    [
      { val_top1: 0.5, loss: 1 },
      { val_top1: 0.75, loss: 2 },
    ],
    { name: 'val_top1', value: 0.75 },
  ],
  ['the lowest loss', [{ loss: 0.5 }, { loss: 0.25 }, { loss: 0.375 }], { name: 'val_loss', value: 0.25 }],
  ['nothing', [], null],
])('without probes the best is %s of validation', async (_, lines, best) => {
  const vals = lines.map((line, i) => ({ type: 'val', step: i + 1, epoch: i, ...line }));
  expect((await rowsOf(writeRun(temporaryFolder(), [start, ...vals]))).rows).toMatchObject([{ best }]);
});

test('a classifier has the name of the run that it began with', async () => {
  for (const checkpoint of [
    '/runs/base',
    '/runs/base/',
    '/runs/base/checkpoints/best-val',
    'base/checkpoints/step-9',
  ]) {
    const run = writeRun(temporaryFolder(), [start], { model: undefined, checkpoint });
    expect((await rowsOf(run)).rows).toMatchObject([{ model: 'base' }]);
  }
});

test('a run whose lock is held runs; of another machine while it refreshes it', async () => {
  const folder = temporaryFolder();
  const lines = [start, train(1), end(1, 'stopped')];
  const [here, elsewhere, gone, dead] = ['a', 'b', 'c', 'd'].map((name) =>
    writeRun(join(folder, name), lines),
  );
  const lock = await claimRunDirectory(here!);
  for (const run of [elsewhere, gone]) writeFileSync(join(run!, 'lock'), lockOf('another-machine', 1));
  const before = Date.now() / 1000 - 3600;
  utimesSync(join(gone!, 'lock'), before, before);
  writeFileSync(join(dead!, 'lock'), lockOf(hostname(), 2 ** 30));
  const states = Object.fromEntries((await rowsOf(folder)).rows.map(({ path, state }) => [path, state]));
  lock.release();
  expect(states).toEqual({
    [here!]: 'running',
    [elsewhere!]: 'running',
    [gone!]: 'stopped',
    [dead!]: 'stopped',
  });
});

test('runs at any depth, once each, the last changed first; other folders and circles of links are passed over', async () => {
  const folder = temporaryFolder();
  const old = writeRun(join(folder, 'deep/er/old'), [start]);
  const inner = writeRun(join(old, 'probe'), [start]);
  const recent = writeRun(join(folder, 'recent'), [start]);
  writeRun(join(folder, '.hidden/run'), [start]);
  writeRun(join(recent, 'checkpoints/step-1'), [start]);
  mkdirSync(join(folder, 'foreign'));
  writeFileSync(join(folder, 'foreign/log.jsonl'), '{"type":"train","step":1}\n');
  writeFileSync(join(folder, 'foreign/config.json'), '{"model_type":"vit"}');
  writeFileSync(join(folder, 'deep/config.json'), '{}');
  symlinkSync(folder, join(folder, 'deep/circle'));
  symlinkSync(recent, join(folder, 'a-link-to-recent'));
  symlinkSync(join(folder, 'nothing'), join(folder, 'broken'));
  const elsewhere = writeRun(join(temporaryFolder(), 'elsewhere'), [start]);
  symlinkSync(elsewhere, join(folder, 'linked'));
  const { rows, notes } = await rowsOf(folder);
  expect(rows.map(({ path }) => path)).toEqual([join(folder, 'linked'), recent, inner, old]);
  expect(notes).toEqual([]);
});

test('what cannot be read is said in its row', async () => {
  const folder = temporaryFolder();
  const [torn, other, isFolder, none, lock] = ['torn', 'other', 'folder', 'none', 'lock'].map((name) =>
    writeRun(join(folder, name), [start, train(2)]),
  );
  writeFileSync(join(torn!, 'config.json'), '{"options": {');
  writeFileSync(join(other!, 'log.jsonl'), 'step 1\nstep 2\n');
  for (const run of [isFolder, none]) writeRun(run!, []);
  for (const run of [isFolder, none]) rmSync(join(run!, 'log.jsonl'));
  mkdirSync(join(isFolder!, 'log.jsonl'));
  writeFileSync(join(lock!, 'lock'), 'mine');
  const rows = Object.fromEntries((await rowsOf(folder)).rows.map((row) => [row.path, row]));
  expect(rows[torn!]).toMatchObject({
    state: 'died',
    step: 2,
    total_steps: null,
    model: null,
    problem: expect.stringMatching(/torn/),
  });
  expect(rows[other!]).toMatchObject({
    state: 'unreadable',
    step: null,
    model: 'my-model',
    problem: expect.stringMatching(/another kind/),
  });
  expect(rows[isFolder!]).toMatchObject({ state: 'unreadable', problem: expect.stringMatching(/log.jsonl/) });
  expect(rows[none!]).toMatchObject({ state: 'unreadable', problem: expect.stringMatching(/not there/) });
  expect(rows[lock!]).toMatchObject({
    state: 'unreadable',
    problem: expect.stringMatching(/lock: expected/),
  });
});

test('of a long log the end is read', async () => {
  const run = writeRun(temporaryFolder(), [start, { type: 'val', step: 1, epoch: 0, loss: 0.125 }]);
  const line = `${JSON.stringify({ level: 'info', ...train(2), filler: 'x'.repeat(1000) })}\n`;
  for (let i = 0; i < 5; i++) appendFileSync(join(run, 'log.jsonl'), line.repeat(1000));
  appendFileSync(
    join(run, 'log.jsonl'),
    `${JSON.stringify({ type: 'val', step: 6, epoch: 2, loss: 0.5 })}\n`,
  );
  expect((await rowsOf(run)).rows).toMatchObject([{ is_partial: true, step: 2, best: { value: 0.5 } }]);
});

test('a folder without runs, and none, are errors of one line', async () => {
  const folder = temporaryFolder();
  await expect(listRuns(folder, () => {})).rejects.toThrow(
    /^runs: expected runs of mae below .*, got none; /,
  );
  const missing = listRuns(join(folder, 'missing'), () => {});
  await expect(missing).rejects.toThrow(/^runs: expected to read the folder .*missing, got ENOENT; /);
  await expect(missing).rejects.toBeInstanceOf(UserError);
});

test('a config.json without options is that of a run of which nothing is known', async () => {
  const folder = temporaryFolder();
  const path = writeRun(join(folder, 'run'), [start, train(1)]);
  writeFileSync(join(path, 'config.json'), JSON.stringify({ ...config, options: null }));
  const [row] = (await rowsOf(folder)).rows;
  expect(row).toMatchObject({ state: 'died', model: null, epochs: null, step: 1 });
});
