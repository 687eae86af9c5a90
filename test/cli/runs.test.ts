/** `mae runs` and `mae log export`, of runs that there are. */
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { beforeAll, expect, test } from 'vitest';
import { maeOk, maeOneLine, startMae } from '../support/cli.js';
import { readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, args } = await trainingFiles(16);
const runs = join(folder, 'runs');
const [done, short] = [join(runs, 'done'), join(runs, 'short')];

beforeAll(async () => {
  await maeOk(args(done, { epochs: 2, 'val-path': images, 'pictures-every': 0 }));
  await maeOk(args(short, { epochs: 4, 'max-steps': 3, 'pictures-every': 0 }));
});

test('a table of the runs, the last that changed first, and the same as JSON', async () => {
  const running = startMae(args(join(runs, 'going'), { epochs: 1_000_000, 'save-every': 1_000_000 }));
  await running.untilStderr(/^step 3\//m);
  const { stdout, stderr } = await maeOk(['runs', runs]);
  const { stdout: json } = await maeOk(['runs', runs, '--json']);
  const lines = stdout.trimEnd().split('\n');
  expect(stderr).toBe('');
  expect(lines[0]).toMatch(/^state +command +model +step +epoch +loss +best +changed +path$/);
  expect(lines[1]).toMatch(/^running +pretrain +model +\d+\/2000000 +\d+\/1000000 .* s ago +\S+going$/);
  expect(lines[2]).toMatch(/^stopped +pretrain +model +3\/3 +2\/4 +\d\.\d{4} +- +\d+ \w+ ago +\S+short$/);
  expect(lines[3]).toMatch(
    /^finished +pretrain +model +4\/4 +2\/2 +\d\.\d{4} +val loss \d\.\d{4} +\d+ \w+ ago +\S+done$/,
  );
  const rows = JSON.parse(json).runs as { path: string; state: string; loss: number }[];
  expect(rows.map(({ path, state }) => [path, state])).toEqual([
    [join(runs, 'going'), 'running'],
    [short, 'stopped'],
    [done, 'finished'],
  ]);
  expect(rows[2]!.loss).toBe(readLog(done, 'epoch').at(-1)!['loss']);
});

test('a folder without runs is one line', async () => {
  expect(await maeOneLine(['runs', images])).toMatch(/^runs: expected runs of mae below/);
});

test('the log of a run as CSV on stdout, as a file, and as events where there are none', async () => {
  const { stdout } = await maeOk(['log', 'export', done, '--format', 'csv']);
  const rows = parse(stdout, { columns: true }) as Record<string, string>[];
  expect(rows.filter((row) => row['train/loss'] !== '').map((row) => Number(row['train/loss']))).toEqual(
    readLog(done, 'train').map(({ loss }) => loss),
  );
  const refused = await maeOneLine(['log', 'export', done, '--format', 'tensorboard']);
  expect(refused).toMatch(/^log: expected no event files in /);
  const output = join(folder, 'events');
  const { stderr } = await maeOk(['log', 'export', done, '--format', 'tensorboard', '-o', output]);
  expect(stderr).toMatch(/^wrote .*events\.out\.tfevents\.\d{10}\.mae\n$/);
  expect(await maeOneLine(['log', 'export', done, '--format', 'png'])).toMatch(/^--format: expected one of/);
  expect(await maeOneLine(['log', 'export', done, short, '--format', 'csv'])).not.toBe('');
  expect(await maeOneLine(['log'])).toMatch(/^Name what to do with a log/);
});
