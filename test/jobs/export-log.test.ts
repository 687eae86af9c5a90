import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { expect, test } from 'vitest';
import { exportLog } from '../../src/jobs/export-log.js';
import { readEvents } from '../support/event-files.js';
import { temporaryFolder } from '../train/support.js';

const time = (second: number) => `2026-01-02T03:04:${String(second).padStart(2, '0')}.500Z`;
const lines = [
  { time: time(0), type: 'start', step: 0 },
  { time: time(1), type: 'guesses', mean: 1, colour: 0.5 },
  { time: time(2), type: 'train', step: 10, epoch: 0, loss: 0.1, lr: 1e-7, grad_norm: 123456789.123 },
  { time: time(3), type: 'epoch', step: 12, epoch: 0, loss: 0.2 },
  { time: time(4), type: 'val', step: 12, epoch: 0, loss: 0.3, val_top1: 0.75 },
  { time: time(5), type: 'checkpoint', step: 12, path: 'x' },
  { time: time(6), type: 'train', step: 12, epoch: 1, loss: 0.4, lr: 2e-7, grad_norm: 2, loss_scale: 65536 },
  { time: time(7), type: 'skipped_step', step: 13, epoch: 1, loss: 'NaN', grad_norm: 'Infinity' },
  { time: time(8), type: 'pictures', step: 12, epochs: 1, path: 'pictures/gone.png' },
  { time: time(9), type: 'pictures', step: 12, epochs: 1, path: '../outside.png' },
];

function writeLog(all: readonly object[]): string {
  const run = temporaryFolder();
  writeFileSync(join(run, 'log.jsonl'), `${all.map((line) => JSON.stringify(line)).join('\n')}\n{"type":"tr`);
  return run;
}

async function printed(run: string): Promise<string[]> {
  const rows: string[] = [];
  await exportLog({ run, format: 'csv' }, (row) => rows.push(row));
  return rows;
}

test('CSV has a row for each step and a column for each curve, with all digits', async () => {
  const run = writeLog(lines);
  const rows = await printed(run);
  const read = parse(rows.join('\n'), { columns: true }) as Record<string, string>[];
  expect(rows[0]).toBe(
    'step,epoch,time,train/loss,train/lr,train/grad_norm,train/loss_scale,epoch/loss,val/loss,val/top1',
  );
  const none = { 'epoch/loss': '', 'val/loss': '', 'val/top1': '', 'train/loss_scale': '' };
  expect(read).toEqual([
    {
      ...none,
      ...{ step: '10', epoch: '0', time: time(2), 'train/loss': '0.1' },
      ...{ 'train/lr': '1e-7', 'train/grad_norm': '123456789.123' },
    },
    {
      ...{ step: '12', epoch: '0', time: time(3), 'train/loss': '0.4', 'train/lr': '2e-7' },
      ...{ 'train/grad_norm': '2', 'train/loss_scale': '65536' },
      ...{ 'epoch/loss': '0.2', 'val/loss': '0.3', 'val/top1': '0.75' },
    },
  ]);
  const output = join(temporaryFolder(), 'log.csv');
  expect(await exportLog({ run, format: 'csv', output }, () => {})).toBe(output);
  expect(readFileSync(output, 'utf8')).toBe(`${rows.join('\n')}\n`);
});

test('event files have the same numbers, by default in the run, at the times of the log', async () => {
  const run = writeLog(lines);
  const file = await exportLog({ run, format: 'tensorboard' }, () => {});
  expect(file).toBe(
    join(run, `tensorboard/events.out.tfevents.${Math.floor(Date.parse(time(2)) / 1000)}.mae`),
  );
  const { scalars, images } = readEvents(join(run, 'tensorboard'));
  expect(images).toEqual([]);
  expect(scalars.map(([tag, step]) => `${tag} ${step}`)).toEqual([
    ...['train/loss 10', 'train/lr 10', 'train/grad_norm 10', 'epoch/loss 12', 'val/loss 12', 'val/top1 12'],
    ...['train/loss 12', 'train/lr 12', 'train/grad_norm 12', 'train/loss_scale 12'],
  ]);
  // a record has 12 bytes before its data and 4 after it; an event begins with the key of its time
  const bytes = readFileSync(file!);
  const times: number[] = [];
  for (let at = 0; at < bytes.length; at += 16 + bytes.readUIntLE(at, 6))
    times.push(bytes.readDoubleLE(at + 13));
  expect(times).toEqual([2, 0, 2, 3, 4, 6].map((second) => Date.parse(time(second)) / 1000));
});

test('what has event files, is no run or has no steps yet is refused', async () => {
  const run = writeLog(lines);
  const events = { run, format: 'tensorboard' } as const;
  await exportLog(events, () => {});
  await expect(exportLog(events, () => {})).rejects.toThrow(
    /expected no event files in .*, got events\.out.*-o/,
  );
  expect(readdirSync(join(run, 'tensorboard'))).toHaveLength(1);
  const nowhere = join(run, 'nowhere');
  for (const format of ['tensorboard', 'csv'] as const) {
    await expect(exportLog({ run: nowhere, format }, () => {})).rejects.toThrow(
      /expected a run directory with a log/,
    );
    const fresh = writeLog(lines.slice(0, 2));
    await expect(exportLog({ run: fresh, format }, () => {})).rejects.toThrow(/expected lines of training/);
    expect(readdirSync(fresh)).toEqual(['log.jsonl']);
    const output = join(run, 'log.jsonl');
    await expect(exportLog({ run, format, output }, () => {})).rejects.toThrow(/^output: expected/);
  }
  mkdirSync(join(run, 'folder'));
  const output = join(run, 'folder');
  await expect(exportLog({ run, format: 'csv', output }, () => {})).rejects.toThrow(/expected a file at/);
});
