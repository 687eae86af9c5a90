/** A run keeps the list of its images, whatever becomes of the folder. */
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { maeError, maeOk } from '../support/cli.js';
import { filesOf, pretrainArgs, readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { images, model, pictures, newRun } = await trainingFiles(26);
const relative = (path: string) => path.slice(images.length + 1);
const last = (run: string) => filesOf(join(run, 'checkpoints/step-9'));

/** A copy of the images, and a run on it that stops after a few steps. */
async function halfARun(): Promise<{ data: string; run: string; args: string[] }> {
  const run = newRun();
  const data = `${run}-images`;
  cpSync(images, data, { recursive: true });
  const options = { 'data-path': data, model, 'output-dir': run };
  await maeOk(pretrainArgs({ ...options, 'max-steps': 4 }));
  return { data, run, args: pretrainArgs(options) };
}

test('images.list names the images, ended by zero bytes, and its SHA-256 is that of config.json', async () => {
  const { run } = await halfARun();
  const list = readFileSync(join(run, 'images.list'));
  expect(`${list}`).toBe(
    [...pictures]
      .sort()
      .map((path) => `${relative(path)}\0`)
      .join(''),
  );
  const { dataset } = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
  expect(dataset).toEqual({ images: 26, fingerprint: createHash('sha256').update(list).digest('hex') });
});

test('a run goes on as if nothing was added, and names the command that trains on all', async () => {
  const { data, run, args } = await halfARun();
  const undisturbed = newRun();
  await maeOk(pretrainArgs({ 'data-path': images, model, 'output-dir': undisturbed }));
  // before the others, among them, and of an ending that earlier versions did not read
  for (const name of ['0.jpg', 'gradients/gradients-00001b.jpg', 'zz.gif'])
    cpSync(pictures[0], join(data, name));
  const { stderr } = await maeOk(args);
  expect(stderr).toContain(
    `${data}: 3 images, such as 0.jpg, came after the run began, which goes on without`,
  );
  expect(stderr).toContain(`the same command with --init ${run} --output-dir ${run}-2\n`);
  expect(last(run)).toEqual(last(undisturbed));
  expect(readLog(run, 'train').map(({ loss }) => loss)).toEqual(
    readLog(undisturbed, 'train').map(({ loss }) => loss),
  );
  await maeOk([...args, '--dry-run']).then(({ stdout }) => expect(stdout).toMatch(/^images +26 in /m));

  // what the message says
  const others = { init: run, 'output-dir': `${run}-2`, 'max-steps': 1 };
  const another = await maeOk(pretrainArgs({ 'data-path': data, model, ...others }));
  expect(another.stderr).toContain('29 images, 3 steps of 8');
});

test('a run whose image is gone passes over it, as over one that cannot be read', async () => {
  const [gone, damaged] = [await halfARun(), await halfARun()];
  const doomed = pictures.slice(3, 6).map(relative);
  for (const path of doomed) {
    rmSync(join(gone.data, path));
    writeFileSync(join(damaged.data, path), 'no picture');
  }
  const { stderr } = await maeOk(gone.args);
  const [first] = [...doomed].sort();
  expect(stderr).toContain(
    `${gone.data}: 3 of the run's 26 images are no longer there, such as ${first}: passed`,
  );
  await maeOk(damaged.args);
  const skipped = (run: string) =>
    readLog(run, 'skipped').map(({ step, path }) => [step, `${path}`.slice(-12)]);
  expect(skipped(damaged.run).length).toBeGreaterThan(0);
  expect(skipped(gone.run)).toEqual(skipped(damaged.run));
  expect(last(gone.run)).toEqual(last(damaged.run));

  // and so does a run that goes on from it elsewhere
  const elsewhere = newRun();
  const from = join(gone.run, 'checkpoints/step-6');
  await maeOk(pretrainArgs({ 'data-path': gone.data, model, 'output-dir': elsewhere, resume: from }));
  expect(last(elsewhere)).toEqual(last(gone.run));
  expect(filesOf(elsewhere)['images.list']).toBe(filesOf(gone.run)['images.list']);
});

test('a damaged list is an error where the folder has changed, and written anew where it has not', async () => {
  const { data, run, args } = await halfARun();
  const list = join(run, 'images.list');
  const good = readFileSync(list);
  writeFileSync(list, good.subarray(1));
  const more = join(data, 'more.jpg');
  cpSync(pictures[0], more);
  const message = await maeError(args);
  expect(message).toContain(`expected the 26 images that ${run} began with, got 27`);
  expect(message).toContain(`${list}, which lists them, is damaged`);
  rmSync(more);
  await maeOk(args);
  expect(readFileSync(list)).toEqual(good);
});
