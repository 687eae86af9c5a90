import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { maeOk, maeOneLine } from '../support/cli.js';
import { filesOf, latestFolder, pretrainArgs, readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, model, newRun } = await trainingFiles(26);
const timed = join(folder, 'timed');
/** Without what pretrainArgs says of the length of a run. */
const given = {
  ...{ 'data-path': images, 'val-path': images, model, lr: undefined },
  ...{ epochs: undefined, 'warmup-epochs': undefined, 'save-every': 1000 },
};
let stderr: string;

const configOf = (run: string) => JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));

beforeAll(async () => {
  ({ stderr } = await maeOk(pretrainArgs({ ...given, 'output-dir': timed, 'time-budget': '20s' })));
});

test('a time decides epochs and warm-up, and the schedule ends with the run', () => {
  const { options, timeBudget } = configOf(timed);
  expect(timeBudget).toBe(20);
  expect(options).not.toHaveProperty('time-budget');
  const { epochs, 'warmup-epochs': warmup } = options;
  expect(epochs).toBeGreaterThan(0);
  expect(warmup / epochs).toBeCloseTo(0.05, 2);
  const line = `--time-budget 20s: ${epochs} epochs, ${warmup} of warm-up, at `;
  expect(stderr).toContain(line);
  const steps = readLog(timed, 'train');
  expect(steps).toHaveLength(Math.max(1, Math.round(3 * epochs)));
  // half a cosine: its last step is next to nothing
  if (steps.length > 60) expect(steps.at(-1)!['lr']).toBeLessThan(0.01 * (steps[10]!['lr'] as number));
  expect(readLog(timed, 'val').at(-1)!['step']).toBe(steps.length);
  // nothing of what was tried stays
  expect(readdirSync(timed).sort()).toEqual([
    'artifacts',
    'checkpoints',
    'config.json',
    'images.list',
    'log.jsonl',
    'pictures',
    'tensorboard',
  ]);
});

test('the run is that of these --epochs and --warmup-epochs, byte for byte; it goes on so', async () => {
  const { options } = configOf(timed);
  const asked = { epochs: options.epochs, 'warmup-epochs': options['warmup-epochs'] };
  const same = newRun();
  await maeOk(pretrainArgs({ ...given, ...asked, 'output-dir': same }));
  expect(filesOf(latestFolder(same))).toEqual(filesOf(latestFolder(timed)));
  expect(configOf(same).options).toEqual({ ...options, 'output-dir': same });

  const parts = newRun();
  await maeOk(pretrainArgs({ ...given, 'output-dir': parts, 'time-budget': '60s', 'max-steps': 1 }));
  const decided = configOf(parts);
  const again = await maeOk(
    pretrainArgs({ ...given, 'output-dir': parts, 'time-budget': '1m', 'max-steps': 2 }),
  );
  expect(again.stderr).toMatch(/continuing from .*step-1$/m);
  expect(again.stderr).not.toContain('trying out');
  await maeOk(pretrainArgs({ ...given, 'output-dir': parts, 'max-steps': 3 })); // it is known without the flag
  const { 'max-steps': _, ...options1 } = decided.options;
  expect(configOf(parts)).toMatchObject({ timeBudget: 60, options: options1 });
  const whole = newRun();
  const lasting = { epochs: options1.epochs, 'warmup-epochs': options1['warmup-epochs'] };
  await maeOk(pretrainArgs({ ...given, ...lasting, 'output-dir': whole, 'max-steps': 3 }));
  expect(filesOf(latestFolder(parts))).toEqual(filesOf(latestFolder(whole)));

  const refused = await maeOneLine(pretrainArgs({ ...given, 'output-dir': parts, 'time-budget': '1h' }));
  expect(refused).toBe(
    `--time-budget: expected 1m, with which the run in ${parts} began, got 1h; give that or leave it out: nothing ` +
      'extends a run',
  );
  const none = await maeOneLine(pretrainArgs({ ...given, 'output-dir': same, 'time-budget': '20s' }));
  expect(none).toContain(`expected none, with which the run in ${same} began, got 20s`);
});

test('epochs beside it, and too short a time, are refused', async () => {
  const run = newRun();
  const beside = await maeOneLine(
    pretrainArgs({ ...given, 'output-dir': run, epochs: 3, 'time-budget': '1m' }),
  );
  expect(beside).toBe(
    '--time-budget: expected no --epochs beside it, which it decides, got --epochs 3; leave one of them out',
  );
  expect(existsSync(run)).toBe(false);
  const noTime = maeOk(pretrainArgs({ ...given, 'output-dir': run, 'time-budget': '0.1s' }));
  await expect(noTime).rejects.toThrow(
    /mae: --time-budget: expected time for a step at least, about \d+s with all .*, got 0\.1s; give more/,
  );
  expect(readLogIfAny(run)).toEqual([]);
});

function readLogIfAny(run: string) {
  return existsSync(join(run, 'log.jsonl')) ? readLog(run) : [];
}

test('--dry-run prints a time for the epochs, or epochs for the time, and writes nothing', async () => {
  const run = newRun();
  const dry = { ...given, 'output-dir': run, 'dry-run': true } as const;
  const { stdout } = await maeOk(pretrainArgs({ ...dry, epochs: 1000 }));
  expect(stdout).toMatch(/^time {8}about \S+: [\d.e-]+ s a step, from a few tried here, \d+s a validation$/m);
  const decided = await maeOk(pretrainArgs({ ...dry, 'time-budget': '20s' }));
  const [, epochs] = /^steps {7}\d+: 3 an epoch, ([\d.]+) epochs$/m.exec(decided.stdout)!;
  expect(decided.stderr).toContain(`--time-budget 20s: ${epochs} epochs, `);
  expect(decided.stdout).toMatch(/^time {8}as --time-budget says$/m);
  expect(existsSync(run)).toBe(false);
});
