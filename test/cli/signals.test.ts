import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { maeOk, maeOneLine, startMae } from '../support/cli.js';
import { filesOf, latestFolder, pretrainArgs, readLog, savedSteps } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, model } = await trainingFiles(24);
/** Longer than any test waits, saved by nothing but a signal. */
const endless = {
  'data-path': images,
  model,
  'batch-size': 2, // 12 steps an epoch: a signal comes inside one, but for a rare chance
  epochs: 1_000_000,
  'save-every': 1_000_000,
};

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)(
  '%s finishes the step, saves and exits with %i; the run goes on from there',
  async (signal, code) => {
    const run = join(folder, signal);
    const running = startMae(pretrainArgs({ ...endless, 'output-dir': run }));
    await running.untilStderr(/^step 5\//m);
    running.kill(signal);
    const ended = await running.ended;
    expect([ended.code, ended.signal]).toEqual([code, null]);
    const [, step] = /^stopped by \w+ at step (\d+); saved .*$/m.exec(ended.stderr)!;
    expect(ended.stderr).toContain(`${signal}: finishing the step`);
    const stopped = Number(step);
    expect(stopped).toBeGreaterThanOrEqual(5);
    expect(savedSteps(run)).toEqual([stopped]);
    expect(latestFolder(run)).toBe(join(run, 'checkpoints', `step-${stopped}`));
    expect(readLog(run, 'train').at(-1)!['step']).toBe(stopped);
    expect(existsSync(join(run, 'lock'))).toBe(false);

    const more = { ...endless, 'output-dir': run, 'max-steps': stopped + 3 };
    const { stderr } = await maeOk(pretrainArgs(more));
    expect(stderr).toContain(`continuing from ${join(run, 'checkpoints', `step-${stopped}`)}`);
    const count = stopped + 3;
    expect(readLog(run, 'train').map((line) => line['step'])).toEqual(
      Array.from({ length: count }, (_, i) => i + 1),
    );

    // the stop and the start do not show in the result
    const undisturbed = join(folder, `${signal}-undisturbed`);
    await maeOk(pretrainArgs({ ...more, 'output-dir': undisturbed }));
    const last = `checkpoints/step-${count}`;
    expect(filesOf(join(run, last))).toEqual(filesOf(join(undisturbed, last)));
  },
);

test('a second signal ends the process at once, without a save', async () => {
  const run = join(folder, 'twice');
  const running = startMae(pretrainArgs({ ...endless, 'output-dir': run }));
  await running.untilStderr(/^step 2\//m);
  // both arrive before the step can end: they wait while the process is stopped
  running.kill('SIGSTOP');
  running.kill('SIGINT');
  running.kill('SIGTERM');
  running.kill('SIGCONT');
  const ended = await running.ended;
  expect([130, 143]).toContain(ended.code);
  expect(ended.stderr).not.toMatch(/internal|^stopped by/m);
  expect(savedSteps(run)).toEqual([]);
  expect(existsSync(join(run, 'lock'))).toBe(false);
});

test('a second process in the same run directory is refused, and the first does not notice', async () => {
  const run = join(folder, 'shared');
  const args = pretrainArgs({ ...endless, 'output-dir': run });
  const first = startMae(args);
  await first.untilStderr(/^step 3\//m);
  const lock = readFileSync(join(run, 'lock'), 'utf8');
  expect(JSON.parse(lock).pid).toBe(first.child.pid);

  const message = await maeOneLine(args);
  expect(message).toContain(`expected ${run} to be free, got process ${first.child.pid}`);
  expect(await maeOneLine([...args, '--resume', 'never'])).toContain('training in it');
  expect(readFileSync(join(run, 'lock'), 'utf8')).toBe(lock);

  first.kill('SIGTERM');
  const ended = await first.ended;
  expect(ended.code).toBe(143);
  const steps = readLog(run, 'train').map(({ step }) => step);
  expect(steps).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
  await maeOk(pretrainArgs({ ...endless, 'output-dir': run, 'max-steps': steps.length + 1 }));
});

test('the lock of a killed process is no obstacle', async () => {
  const run = join(folder, 'killed');
  const first = startMae(pretrainArgs({ ...endless, 'output-dir': run, 'save-every-steps': 2 }));
  await first.untilStderr(/^step 5\//m);
  first.kill('SIGKILL');
  expect((await first.ended).signal).toBe('SIGKILL');
  expect(existsSync(join(run, 'lock'))).toBe(true);
  const saved = savedSteps(run).at(-1)!;
  expect(saved).toBeGreaterThanOrEqual(4);
  const { stderr } = await maeOk(
    pretrainArgs({ ...endless, 'output-dir': run, 'save-every-steps': 2, 'max-steps': saved + 1 }),
  );
  expect(stderr).toContain(`continuing from ${join(run, 'checkpoints', `step-${saved}`)}`);
  expect(existsSync(join(run, 'lock'))).toBe(false);
});
