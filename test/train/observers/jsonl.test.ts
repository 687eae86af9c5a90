import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  epochLosses,
  loggedEpochs,
  loggedGuesses,
  logHasSteps,
  trimLog,
} from '../../../src/train/log-file.js';
import { JsonLog } from '../../../src/train/observers/jsonl.js';
import { readLog } from '../../support/cli-files.js';
import { startOf, stepOf, temporaryFolder } from '../support.js';

/** A run of `steps` steps in epochs of two, saved after each epoch. */
async function writeRun(path: string, steps: number): Promise<void> {
  const log = new JsonLog(path);
  await log.started(startOf(0, steps));
  for (let step = 1; step <= steps; step++) {
    log.stepped(stepOf(step));
    if (step % 2 === 1) continue;
    log.epochEnded({ epoch: step / 2 - 1, step, loss: 0.5 });
    log.validated({ epoch: step / 2 - 1, step, loss: 0.75, images: 9, skippedImages: 1 });
    log.checkpointSaved({ step, path: `step-${step}` });
  }
  log.imageSkipped({ step: steps, path: 'a "quoted"\nname.jpg', reason: 'not an image' });
}

test('how an image was read is a line', async () => {
  const path = join(temporaryFolder(), 'log.jsonl');
  const log = new JsonLog(path);
  log.imageNoted({ step: 3, path: 'a.tif', kind: 'k', text: 'was read so' });
  const [line] = readFileSync(path, 'utf8').trim().split('\n');
  const wanted = { type: 'note', step: 3, path: 'a.tif', kind: 'k', text: 'was read so' };
  expect(JSON.parse(line!)).toMatchObject(wanted);
});

test('losses of guesses are a line when they are new, and are read back as they stand last before the steps', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  const seen: string[] = [];
  const log = new JsonLog(path, (_, text) => seen.push(text));
  expect(await loggedGuesses(path)).toBeUndefined();
  await log.started(startOf(0, 4));
  log.guessed({ mean: 0.9, colour: 0.3, isNew: true });
  log.guessed({ mean: 0.8, colour: 0.2, isNew: true });
  log.guessed({ mean: 7, colour: 7, isNew: false });
  log.stepped(stepOf(1));
  const { time: _, ...line } = readLog(run, 'guesses')[0]!;
  expect(line).toEqual({ level: 'info', type: 'guesses', mean: 0.9, colour: 0.3 });
  expect(readLog(run, 'guesses')).toHaveLength(2);
  expect(await loggedGuesses(path)).toEqual({ mean: 0.8, colour: 0.2 });
  expect(seen.join('')).toBe(readFileSync(path, 'utf8'));
});

test('every line is a JSON object with a type and a time', async () => {
  const run = temporaryFolder();
  await writeRun(join(run, 'log.jsonl'), 4);
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
  const { time, ...line } = lines[2]!;
  expect(line).toEqual({
    level: 'info',
    type: 'train',
    step: 2,
    epoch: 0,
    loss: 0.5,
    lr: 1e-3,
    grad_norm: 2,
    images_per_second: 10,
    data_wait: 0.25,
    skipped_images: 0,
  });
  expect(new Date(time).toISOString()).toBe(time);
  expect(lines[4]).toMatchObject({ type: 'val', loss: 0.75, images: 9, skipped_images: 1 });
  expect(lines.at(-1)).toMatchObject({ path: 'a "quoted"\nname.jpg', reason: 'not an image' });
});

test('a second log adds to the first, from the step that the run goes on from', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  await writeRun(path, 2);
  const before = readFileSync(path, 'utf8');
  appendFileSync(path, '{"type":"train","step":3}\n{"type":"tr'); // what a killed process wrote
  const log = new JsonLog(path);
  await log.started(startOf(2, 4));
  log.stepped(stepOf(3));
  const after = readFileSync(path, 'utf8');
  expect(after.startsWith(before)).toBe(true);
  expect(after.slice(before.length).trim().split('\n')).toHaveLength(2);
  expect(readLog(run, 'start').map(({ step }) => step)).toEqual([0, 2]);
});

test('trimLog drops lines of later steps and a torn last line, and nothing else', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  await writeRun(path, 6);
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
  await writeRun(path, 4);
  const before = readFileSync(path);
  await trimLog(path, 4);
  expect(readFileSync(path)).toEqual(before);
});

test('trimLog makes a line that was torn before its newline no part of the next one', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  await writeRun(path, 2);
  appendFileSync(path, '{"type":"train","step":3');
  await trimLog(path, 2);
  new JsonLog(path).stepped(stepOf(3));
  expect(readLog(run, 'train').map(({ step }) => step)).toEqual([1, 2, 3]);
});

test('a log of any length is read in pieces, and cut where it was torn', async () => {
  const path = join(temporaryFolder(), 'log.jsonl');
  // lines that end before, on and after the ends of the pieces in which a file is read, 1 MiB
  const lengths = [524_266, 1, 1_048_576, 7, 524_288, 3];
  const lines = lengths.map((length, i) =>
    JSON.stringify({ type: 'train', step: i + 1, path: 'é'.repeat(length / 2) }),
  );
  writeFileSync(path, `${lines.join('\n')}\n`);
  await trimLog(path, 5);
  expect(readFileSync(path, 'utf8')).toBe(`${lines.slice(0, 5).join('\n')}\n`);
  expect(await logHasSteps(path)).toBe(true);
});

test('a file that is no log of a run is refused and stays as it is', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  for (const text of ['2026-01-01 started\n', '{"level":30,"msg":"of another program"}\n', '\0\0\n']) {
    writeFileSync(path, text);
    await expect(trimLog(path, 9)).rejects.toThrow(`expected ${path} to be the log of a run`);
    await expect(logHasSteps(path)).rejects.toThrow('a file of another kind');
    expect(readFileSync(path, 'utf8')).toBe(text);
  }
  await expect(logHasSteps(run)).rejects.toThrow('a file of another kind');
  writeFileSync(path, '{"type":"start"'); // all that a killed process wrote
  await trimLog(path, 0);
  expect(readFileSync(path, 'utf8')).toBe('');
});

test('loggedEpochs tells which epochs a run has validated by a step', async () => {
  const path = join(temporaryFolder(), 'log.jsonl');
  expect(await loggedEpochs(path, 'val', 6)).toBe(0);
  await writeRun(path, 6);
  expect(await loggedEpochs(path, 'val', 6)).toBe(3);
  expect(await loggedEpochs(path, 'val', 5)).toBe(2);
});

test('logHasSteps tells a run that trained from one that only started', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  expect(await logHasSteps(path)).toBe(false);
  writeFileSync(path, '');
  expect(await logHasSteps(path)).toBe(false);
  await new JsonLog(path).started(startOf(0, 1));
  expect(await logHasSteps(path)).toBe(false);
  new JsonLog(path).stepped(stepOf(1));
  expect(await logHasSteps(path)).toBe(true);
});

test('steps that are not picked for the log, and numbers that JSON lacks', async () => {
  const run = temporaryFolder();
  const log = new JsonLog(join(run, 'log.jsonl'));
  log.stepped(stepOf(1, false));
  log.stepped({ ...stepOf(2), lossScale: 1024 });
  const skipped = { step: 3, epoch: 1, loss: Number.NaN, gradientNorm: Number.POSITIVE_INFINITY };
  log.stepSkipped({
    ...skipped,
    reason: 'bad',
    lossScale: 512,
    nextLossScale: 512,
    images: 'bad-batch-3.txt',
  });
  const [good, bad] = readLog(run);
  expect(good).toMatchObject({ type: 'train', step: 2, loss_scale: 1024 });
  expect(bad).toMatchObject({
    type: 'skipped_step',
    reason: 'bad',
    loss: 'NaN',
    grad_norm: 'Infinity',
    loss_scale: 512,
    images: 'bad-batch-3.txt',
  });
  expect(bad).not.toHaveProperty('nextLossScale');
});

test('epochLosses reads the mean losses of the epochs back', async () => {
  const run = temporaryFolder();
  const path = join(run, 'log.jsonl');
  expect(await epochLosses(path)).toEqual([]);
  await writeRun(path, 4);
  expect(await epochLosses(path)).toEqual([0.5, 0.5]);
});
