/** Ways out of a run that are no one's wish: what was computed is saved. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cacheFolder, maeOk, maeScript, startMae } from '../support/cli.js';
import { latestFolder, pretrainArgs, readLog, savedSteps } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, model } = await trainingFiles(24);
const endless = { 'data-path': images, model, 'batch-size': 2, epochs: 1_000_000, 'save-every': 1_000_000 };

/** A shell that starts mae with `arguments`, its standard error going to `redirection`. */
function inShell(prefix: string, args: readonly string[], redirection = '') {
  const command = `${prefix} "$0" "$@" ${redirection}`;
  return spawn('bash', ['-c', command, process.execPath, maeScript, ...args], {
    env: { ...process.env, XDG_CACHE_HOME: cacheFolder },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

test('a folder of images that goes away ends the run after a save', async () => {
  const away = `${images}-away`;
  const run = join(folder, 'unmounted');
  const running = startMae(pretrainArgs({ ...endless, 'output-dir': run }));
  await running.untilStderr(/^step 3\//m);
  renameSync(images, away);
  const { code, stderr } = await running.ended;
  renameSync(away, images);
  expect(code).toBe(1);
  const [, step] = /^ended at step (\d+); saved .*$/m.exec(stderr)!;
  expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^mae: image folder: expected .*unreadable/);
  expect(savedSteps(run)).toEqual([Number(step)]);
  const { stderr: rest } = await maeOk(
    pretrainArgs({ ...endless, 'output-dir': run, 'max-steps': Number(step) + 1 }),
  );
  expect(rest).toContain(`continuing from ${latestFolder(run)}`.replace(/\d+$/, step!));
});

test('validation images that cannot be read are said at the start, and cost nothing but their loss', async () => {
  const run = join(folder, 'unreadable');
  const texts = join(folder, 'texts');
  mkdirSync(texts);
  for (let i = 0; i < 3; i++) writeFileSync(join(texts, `${i}.jpg`), 'text');
  const given = { ...endless, 'output-dir': run, 'val-path': texts, epochs: 2, 'save-every': 1 };
  const { stderr } = await maeOk(pretrainArgs(given));
  expect(stderr).toMatch(/^--val-path: expected images that can be read in .*texts, got none among 3/m);
  expect(savedSteps(run)).toEqual([12, 24]);
  expect(readLog(run, 'val_failed').map(({ epoch }) => epoch)).toEqual([0, 1]);
});

test.each([
  ['whose reader is gone', '2> >(head -2 >/dev/null)'],
  ['on a full disk', '2>/dev/full'],
])('a standard error %s does not matter', async (_, redirection) => {
  const run = join(folder, redirection.replaceAll(/\W/g, ''));
  const args = pretrainArgs({ ...endless, 'output-dir': run, epochs: 1, 'save-every': 1 });
  const [code] = await once(inShell('', args, redirection), 'close');
  expect(code).toBe(0);
  expect(savedSteps(run)).toEqual([12]);
});

test('a full disk behind standard output is an error, a reader that has enough is none', async () => {
  const args = pretrainArgs({ ...endless, 'output-dir': join(folder, 'dry'), 'dry-run': true });
  const full = inShell('', args, '>/dev/full');
  let stderr = '';
  full.stderr.on('data', (text) => {
    stderr += text;
  });
  expect((await once(full, 'close'))[0]).toBe(1);
  expect(stderr).toBe('mae: output: cannot write (ENOSPC)\n');
  const piped = inShell('set -o pipefail;', args, '| head -1');
  expect((await once(piped, 'close'))[0]).toBe(0);
});

test('a terminal that is closed stops the run as SIGTERM does, however often it is said', async () => {
  const run = join(folder, 'hangup');
  const running = startMae(pretrainArgs({ ...endless, 'output-dir': run }));
  await running.untilStderr(/^step 3\//m);
  running.kill('SIGHUP');
  running.kill('SIGHUP');
  const { code, stderr } = await running.ended;
  expect(code).toBe(129);
  const [, step] = /^stopped by SIGHUP at step (\d+); saved/m.exec(stderr)!;
  expect(savedSteps(run)).toEqual([Number(step)]);
});

test('under nohup it does not', async () => {
  const run = join(folder, 'nohup');
  const args = pretrainArgs({ ...endless, 'output-dir': run, epochs: 3, 'save-every': 1 });
  const running = inShell('nohup', args);
  let stderr = '';
  for await (const text of running.stderr) {
    stderr += text;
    if (/^step 2\//m.test(stderr)) running.kill('SIGHUP');
  }
  expect(stderr).toContain('done at step 36');
  expect(savedSteps(run)).toEqual([12, 24, 36]);
});
