/** Which checkpoints stay, and which one `latest` names, when weights turn out to be bad. */

import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { BadSteps } from '../../src/train/bad-steps.js';
import { ModelState } from '../../src/train/engine/model-state.js';
import type { Tell } from '../../src/train/observer.js';
import { startOfRun } from '../../src/train/position.js';
import { RunCheckpoints } from '../../src/train/run-checkpoints.js';
import { runPaths } from '../../src/weights/checkpoint/run-directory.js';
import { latestFolder, savedSteps } from '../support/cli-files.js';
import { temporaryFolder, tinyArtifacts } from './support.js';

/** The checkpoints of a run of the tiny model, which goes on from a folder where one is given. */
function start(keep: number, { resumeFrom, at = 0, totalSteps = 100 }: Start = {}) {
  const { manifest } = tinyArtifacts(2);
  const state = new ModelState(manifest);
  state.initialize(0);
  const run = temporaryFolder();
  const position = { ...startOfRun, step: at };
  const badSteps = new BadSteps(run, 2);
  const told: string[] = [];
  const device = { download: () => {}, isWhole: true };
  const tell: Tell = async (event) => void told.push(event);
  const checkpoints = new RunCheckpoints(
    {
      options: { outputDir: run, keep, saveEvery: 2, saveEverySteps: 5 },
      plan: { totalSteps },
      state,
      position,
      resumeFrom,
    },
    device,
    badSteps,
    tell,
  );
  const save = (step: number) => checkpoints.save({ ...startOfRun, step });
  const end = (step: number) => checkpoints.end({ ...startOfRun, step });
  const step = (n: number) => join(run, 'checkpoints', `step-${n}`);
  const rescue = (step: number) => checkpoints.rescue({ ...startOfRun, step });
  return { run, state, device, checkpoints, badSteps, told, save, end, rescue, step };
}

interface Start {
  resumeFrom?: string;
  at?: number;
  totalSteps?: number;
}

test('with --keep 1 the last good one stays until the next has given a finite loss', async () => {
  const { run, checkpoints, save, end } = start(1, { totalSteps: 3 });
  await save(1);
  await checkpoints.confirm();
  expect(savedSteps(run)).toEqual([1]);
  await save(2);
  expect(savedSteps(run)).toEqual([1, 2]);
  await checkpoints.confirm();
  expect(savedSteps(run)).toEqual([2]);
  await save(3);
  await end(3);
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
  const { end } = start(1, { resumeFrom: theirs, at: 7, totalSteps: 7 });
  expect(await end(7)).toBe(theirs);
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
  const { run, state, told, save, end } = start(1, { totalSteps: 2 });
  await save(1);
  state.parameters[state.parameters.length - 1] = value;
  await save(2);
  expect(told).toEqual(['checkpointSaved', 'checkpointRefused']);
  expect(savedSteps(run)).toEqual([1]);
  await expect(end(2)).rejects.toThrow('expected finite weights at the end');
});

test('the checkpoint of another run that this one goes on from stays as it is', async () => {
  const theirs = join(temporaryFolder(), 'checkpoints', 'step-7');
  const { run, checkpoints, told, save, step } = start(3, { resumeFrom: theirs, at: 7 });
  await save(7);
  expect(told).toEqual([]);
  await checkpoints.confirm();
  await save(9);
  expect(await checkpoints.fallBack()).toBe(theirs);
  expect(latestFolder(run)).toBe(step(9));
});

test('--save-every and --save-every-steps say where one is due', async () => {
  const { checkpoints, save } = start(3);
  const due = (step: number, epoch: number, isEpochEnd: boolean) =>
    checkpoints.isDue({ ...startOfRun, step, epoch }, isEpochEnd);
  expect(due(0, 0, false)).toBe(false);
  expect(due(5, 0, false)).toBe(true);
  expect(due(6, 1, true)).toBe(false);
  expect(due(12, 2, true)).toBe(true);
  expect(due(12, 2, false)).toBe(false);
  await save(5);
  expect(due(5, 0, false)).toBe(false);
});

test('after bad steps nothing is saved, and a plan that ends in them is an error', async () => {
  const { run, badSteps, save, end } = start(3, { totalSteps: 3 });
  await save(1);
  await badSteps.add({ step: 3, loss: Number.NaN, gradientNorm: 1 }, ['a.jpg']);
  await save(3);
  expect(savedSteps(run)).toEqual([1]);
  await expect(end(3)).rejects.toThrow('got a loss of NaN');
  expect(await end(2)).toBeUndefined();
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

test('an error saves the step that it ends at, unless the weights are of two steps, bad or not finite', async () => {
  const good = start(3);
  await good.rescue(0); // nothing was done
  expect(good.told).toEqual([]);
  await good.rescue(2);
  expect(savedSteps(good.run)).toEqual([2]);
  expect(good.told).toEqual(['checkpointSaved', 'failed']);

  const torn = start(3);
  torn.device.isWhole = false;
  await torn.rescue(2);
  const bad = start(3);
  await bad.badSteps.add({ step: 2, loss: Number.NaN, gradientNorm: Number.NaN }, []);
  await bad.rescue(2);
  const infinite = start(3);
  infinite.state.parameters[0] = Number.POSITIVE_INFINITY;
  await infinite.rescue(2);
  for (const { run } of [torn, bad, infinite]) expect(savedSteps(run)).toEqual([]);
});

test('a save that failed is not tried again when its error ends the run', async () => {
  const { run, rescue, save, told } = start(3);
  const { checkpoints } = runPaths(run);
  writeFileSync(checkpoints, ''); // where the folder would be
  await expect(save(2)).rejects.toThrow('checkpoint: expected');
  rmSync(checkpoints);
  await rescue(2);
  expect(savedSteps(run)).toEqual([]);
  expect(told).toEqual(['failed']);
});
