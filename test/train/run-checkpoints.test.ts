/** Which checkpoints stay, and which one `latest` names, when weights turn out to be bad. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BadSteps } from '../../src/train/bad-steps.js';
import { startOfRun } from '../../src/train/checkpointing.js';
import { ModelState } from '../../src/train/engine/model-state.js';
import { RunCheckpoints } from '../../src/train/run-checkpoints.js';
import { latestFolder, savedSteps } from '../support/cli-files.js';
import { temporaryFolder, tinyArtifacts } from './support.js';

function start(keep: number) {
  const { manifest } = tinyArtifacts(2);
  const state = new ModelState(manifest);
  state.initialize(0);
  const run = temporaryFolder();
  const checkpoints = new RunCheckpoints(run, keep, undefined, 0);
  const save = (step: number) => checkpoints.save(state, { ...startOfRun, step });
  return { run, state, checkpoints, save, step: (n: number) => join(run, 'checkpoints', `step-${n}`) };
}

test('with --keep 1 the last good one stays until the next has given a finite loss', async () => {
  const { run, checkpoints, save } = start(1);
  await save(1);
  await checkpoints.confirm();
  expect(savedSteps(run)).toEqual([1]);
  await save(2);
  expect(savedSteps(run)).toEqual([1, 2]);
  await checkpoints.confirm();
  expect(savedSteps(run)).toEqual([2]);
  await save(3);
  await checkpoints.finish();
  expect(savedSteps(run)).toEqual([3]);
});

test('one that no finite loss came from is not what a run goes on from', async () => {
  const { run, checkpoints, save, step } = start(1);
  expect(await checkpoints.fallBack()).toBeUndefined();
  await save(1);
  expect(await checkpoints.fallBack()).toBeUndefined();
  expect(latestFolder(run)).toBe(step(1));
  await checkpoints.confirm();
  await save(2);
  await save(3);
  expect(latestFolder(run)).toBe(step(3));
  expect(await checkpoints.fallBack()).toBe(step(1));
  expect(latestFolder(run)).toBe(step(1));
});

test('a run that goes on from the end of another one has nothing to remove', async () => {
  const theirs = join(temporaryFolder(), 'checkpoints', 'step-7');
  await new RunCheckpoints(temporaryFolder(), 1, theirs, 7).finish();
});

test('with --keep 3 three stay, the good one among them or beside them', async () => {
  const { run, checkpoints, save } = start(3);
  await save(1);
  await checkpoints.confirm();
  for (const step of [2, 3, 4, 5]) await save(step);
  expect(savedSteps(run)).toEqual([1, 3, 4, 5]);
  await checkpoints.confirm();
  await save(6);
  expect(savedSteps(run)).toEqual([4, 5, 6]);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])('weights with %s in them are not saved', async (value) => {
  const { run, state, checkpoints, save } = start(1);
  await save(1);
  state.parameters[state.parameters.length - 1] = value;
  expect(await save(2)).toBeUndefined();
  expect(savedSteps(run)).toEqual([1]);
  expect(checkpoints.savedAt).toBe(1);
});

test('the checkpoint of another run that this one goes on from stays as it is', async () => {
  const [ours, theirs] = [temporaryFolder(), join(temporaryFolder(), 'checkpoints', 'step-7')];
  mkdirSync(join(ours, 'checkpoints'));
  writeFileSync(join(ours, 'checkpoints', 'latest'), 'step-9\n');
  const checkpoints = new RunCheckpoints(ours, 3, theirs, 7);
  expect(checkpoints.savedAt).toBe(7);
  await checkpoints.confirm();
  checkpoints.latest = join(ours, 'checkpoints', 'step-9');
  expect(await checkpoints.fallBack()).toBe(theirs);
  expect(latestFolder(ours)).toBe(join(ours, 'checkpoints', 'step-9'));
});

test('bad steps are counted in a row', async () => {
  const badSteps = new BadSteps(temporaryFolder(), 2);
  const step = (number: number) => ({ step: number, loss: Number.NaN, gradientNorm: 1 });
  expect(await badSteps.add(step(3), ['a.jpg'])).toBe('bad-batch-3.txt');
  expect(badSteps.isTooMany).toBe(false);
  badSteps.end();
  await badSteps.add(step(5), []);
  expect(badSteps.isTooMany).toBe(false);
  await badSteps.add(step(6), []);
  expect(badSteps.isTooMany).toBe(true);
  expect(badSteps.error('there').message).toMatch(
    /a loss of NaN and a gradient norm of 1 in steps 5 to 6, --max-bad-steps 2; .*bad-batch-5.txt to bad-batch-6.txt; the last good checkpoint is kept, there: /,
  );
});
