import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { logHasSteps, RunLog, trimLog } from '../../../src/train/observers/jsonl.js';
import { readLog } from '../../support/cli-files.js';
import { temporaryFolder } from '../support.js';

function trainLine(step: number) {
  const epoch = Math.floor((step - 1) / 2);
  const speed = { images_per_second: 10, data_wait: 0.25 };
  return { step, epoch, loss: 1 / step, lr: 1e-3, grad_norm: 2, ...speed, skipped_images: 0 };
}

/** A run of `steps` steps in epochs of two, saved after each epoch. */
function writeRun(path: string, steps: number): void {
  const log = new RunLog(path);
  log.start({ step: 0, total_steps: steps });
  for (let step = 1; step <= steps; step++) {
    log.train(trainLine(step));
    if (step % 2 === 1) continue;
    log.epoch({ epoch: step / 2 - 1, step, loss: 0.5 });
    log.validation({ epoch: step / 2 - 1, step, loss: 0.75, images: 9, skipped_images: 1 });
    log.checkpoint({ step, path: `step-${step}` });
  }
  log.skipped({ step: steps, path: 'a "quoted"\nname.jpg', reason: 'not an image' });
}

test('every line is a JSON object with a type and a time', () => {
  const run = temporaryFolder();
  writeRun(join(run, 'log.jsonl'), 4);
  const lines = readLog(run);
  expect(lines.map(({ type }) => type)).toEqual(
    [
      'start',
      'train',
      'train',
      'epoch',
      'val',
      'checkpoint',
      'train',
      'train',
      'epoch',
      'val',
      'checkpoint',
    ].concat('skipped'),
  );
  for (const { time } of lines) expect(new Date(time).toISOString()).toBe(time);
  expect(lines[2]).toMatchObject({ type: 'train', ...trainLine(2) });
  expect(lines.at(-1)).toMatchObject({ path: 'a "quoted"\nname.jpg', reason: 'not an image' });
});

test('a second log adds to the first', () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  writeRun(path, 2);
  const before = readFileSync(path, 'utf8');
  writeRun(path, 2);
  expect(readFileSync(path, 'utf8').startsWith(before)).toBe(true);
  expect(readLog(run, 'start')).toHaveLength(2);
});

test('trimLog drops lines of later steps and a torn last line, and nothing else', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  writeRun(path, 6);
  const whole = readFileSync(path, 'utf8').split('\n');
  const last = whole.findIndex((line) => line.includes('"checkpoint","step":4'));
  appendFileSync(path, whole[1]!.slice(0, 40)); // a kill in the middle of a write
  await trimLog(path, 4);
  expect(readFileSync(path, 'utf8')).toBe(`${whole.slice(0, last + 1).join('\n')}\n`);
  await trimLog(path, 0);
  expect(readLog(run).map(({ type }) => type)).toEqual(['start']);
});

test('trimLog leaves a log with nothing to drop as it is, and makes none', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  await trimLog(path, 3);
  expect(existsSync(path)).toBe(false);
  writeRun(path, 4);
  const before = readFileSync(path);
  await trimLog(path, 4);
  expect(readFileSync(path)).toEqual(before);
});

test('trimLog makes a line that was torn before its newline no part of the next one', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  writeRun(path, 2);
  appendFileSync(path, '{"type":"train","step":3');
  await trimLog(path, 2);
  new RunLog(path).train(trainLine(3));
  expect(readLog(run, 'train').map(({ step }) => step)).toEqual([1, 2, 3]);
});

test('logHasSteps tells a run that trained from one that only started', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  expect(await logHasSteps(path)).toBe(false);
  writeFileSync(path, '');
  expect(await logHasSteps(path)).toBe(false);
  new RunLog(path).start({ step: 0 });
  expect(await logHasSteps(path)).toBe(false);
  new RunLog(path).train(trainLine(1));
  expect(await logHasSteps(path)).toBe(true);
});
