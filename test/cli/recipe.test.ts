/** Options of `mae pretrain` that a recipe decides, and the crops of its images. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { maeError, maeOk } from '../support/cli.js';
import { filesOf, readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { args, newRun } = await trainingFiles(26);

test('what is not given is the recipe’s, which is said; the run goes on with the same command alone', async () => {
  const run = newRun();
  const given = args(run, { 'warmup-epochs': undefined, lr: undefined });
  const { stderr } = await maeOk([...given, '--max-steps', '4']);
  expect(stderr).toMatch(/^recipe small: lr 0\.0015, 0\.15 epochs of warm-up, crops from 50 % on$/m);
  const path = join(run, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  expect(config.options).toMatchObject({ epochs: 3, 'warmup-epochs': 0.15, lr: 1.5e-3, recipe: 'small' });
  expect(await maeError([...given, '--recipe', 'published'])).toMatch(/lr 0\.0015 there, not given here/);
  // as if the recipe had had other numbers when the run began
  writeFileSync(path, JSON.stringify({ ...config, options: { ...config.options, lr: 2e-3 } }));
  const again = await maeOk(given);
  expect(again.stderr).toMatch(/^as the run began: lr 0\.002, 0\.15 epochs of warm-up, crops from 50 % on$/m);
  expect(again.stderr).toMatch(/^done at step 9/m);
  expect(JSON.parse(readFileSync(path, 'utf8')).options).toMatchObject({ lr: 2e-3, recipe: 'small' });
});

test('--recipe published is the run of the flags that it stands for', async () => {
  const [named, spelt] = [newRun(), newRun()];
  const none = { epochs: undefined, 'warmup-epochs': undefined, lr: undefined, 'max-steps': 2 };
  const { stderr } = await maeOk(args(named, { ...none, recipe: 'published' }));
  expect(stderr).toMatch(/^recipe published: blr 0\.00015, 800 epochs, 40 epochs of warm-up$/m);
  await maeOk(args(spelt, { ...none, epochs: 800, 'warmup-epochs': 40, blr: 1.5e-4, 'crop-scale': 0.2 }));
  const checkpoints = (run: string) => filesOf(join(run, 'checkpoints'));
  expect(checkpoints(named)).toEqual(checkpoints(spelt));
});

test('--crop-scale 1 sees whole pictures, as far as their aspect allows; 0.5 is the default of 64 pixels', async () => {
  const [own, same, whole] = [newRun(), newRun(), newRun()];
  await maeOk(args(own, { 'max-steps': 1 }));
  await maeOk(args(same, { 'max-steps': 1, 'crop-scale': 0.5 }));
  await maeOk(args(whole, { 'max-steps': 1, 'crop-scale': 1 }));
  const loss = (run: string) => readLog(run, 'train')[0]!['loss'];
  expect(loss(same)).toBe(loss(own));
  expect(loss(whole)).not.toBe(loss(own));
  const message = await maeError(args(whole, { 'max-steps': 2, 'crop-scale': 0.5 }));
  expect(message).toContain('crop-scale 1 there, 0.5 here');
});
