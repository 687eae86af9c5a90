/** `mae finetune` and `mae linprobe` on colours that are easy to tell, through the command line. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeClassFolders } from '../support/class-folders.js';
import { maeError, maeOk } from '../support/cli.js';
import {
  type FlagValues,
  fileFolder,
  flags,
  pretrainArgs,
  readLog,
  readTensorFile,
  savedSteps,
  tinyModel,
  writeModel,
} from '../support/cli-files.js';

const folder = fileFolder();
const [train, val, pretrained] = ['train', 'val', 'pretrained'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
const model = writeModel(folder, { ...tinyModel, depth: 2 });
let runs = 0;
const newRun = () => join(folder, `run-${++runs}`);

beforeAll(async () => {
  await writeClassFolders(train, 8);
  await writeClassFolders(val, 3);
  await maeOk(pretrainArgs({ 'data-path': train, model, 'output-dir': pretrained, epochs: 1 }));
});

const args = (command: 'finetune' | 'linprobe', run: string, values: FlagValues = {}) => [
  command,
  ...flags({
    checkpoint: pretrained,
    'data-path': train,
    'val-path': val,
    'output-dir': run,
    'batch-size': 8,
    epochs: 4,
    threads: 1,
    'num-workers': 0,
    'log-every': 1,
    precision: 'fp32',
    ...values,
  }),
];

/** What a log says, without times and speeds. */
const told = (run: string) =>
  readLog(run)
    .filter(({ type }) => ['train', 'val', 'epoch'].includes(type))
    .map(({ time: _, level: __, images_per_second: ___, data_wait: ____, ...rest }) => rest);

const checkpointFiles = ['model.safetensors', 'optimizer.safetensors', 'state.json'];

/** With all that changes a batch, at a rate that shows it. */
const everything = { recipe: 'base', 'drop-path': 0.3, lr: 3e-3, 'random-erasing': 0.5 };

test.each([
  ['finetune', everything],
  ['linprobe', { lr: 1 }],
] as const)('mae %s that is stopped goes on to the same bytes', async (command, values) => {
  const [whole, parts] = [newRun(), newRun()];
  await maeOk(args(command, whole, values));
  for (const steps of [4, 7, 12]) await maeOk(args(command, parts, { ...values, 'max-steps': steps }));
  for (const file of checkpointFiles) {
    const [a, b] = [whole, parts].map((run) => readFileSync(join(run, 'checkpoints', 'step-12', file)));
    expect(b!.equals(a!), file).toBe(true);
  }
  expect(told(parts)).toEqual(told(whole));
  const best = (run: string) => readFileSync(join(run, 'checkpoints', 'best'), 'utf8');
  expect(best(parts)).toBe(best(whole));
});

describe('mae finetune', () => {
  test('learns, keeps the best checkpoint beside the newest, and says what it is', async () => {
    const run = newRun();
    const plain = { mixup: 0, cutmix: 0, 'rand-augment': 'none', smoothing: 0, 'crop-scale': 0.5 };
    const { stderr } = await maeOk(args('finetune', run, { ...plain, epochs: 24, lr: 1e-2, keep: 1 }));
    const validated = readLog(run, 'val');
    const accuracies = validated.map((line) => line['val_top1'] as number);
    expect(Math.max(...accuracies)).toBe(1);
    expect(validated[0]).not.toHaveProperty('val_top5'); // of three classes it says nothing
    // of equal ones the first
    const step = 3 * (accuracies.indexOf(1) + 1);
    expect(readFileSync(join(run, 'checkpoints', 'best'), 'utf8')).toBe(`step-${step}\n`);
    expect(savedSteps(run)).toEqual([...new Set([step, 72])]);
    expect(stderr).toContain('recipe small: 24 epochs, 0.4 of warm-up');
    expect(stderr).toMatch(/validation loss \d\.\d+ {2}top-1 100\.00 %/);
    expect(stderr).toMatch(new RegExp(`best top-1 100.00 %: .*step-${step}\n`));
    const { metadata, tensors } = readTensorFile(join(run, 'checkpoints', 'step-72', 'model.safetensors'));
    expect(metadata).toMatchObject({
      format: 'mae',
      task: 'classifier',
      classes: '["blue","green","red"]',
      pool: 'mean',
      step: '72',
    });
    expect(tensors.get('head.weight')!.shape).toEqual([3, 24]);
    expect(tensors.has('norm.weight')).toBe(false);
    // from the weights that were given
    const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
    expect(config).toMatchObject({
      command: 'finetune',
      options: { recipe: 'small', checkpoint: pretrained },
    });
  });

  test('starts from the weights given, or from scratch', async () => {
    const still = { 'max-steps': 1, lr: 0, 'weight-decay': 0 };
    const weight = (run: string) =>
      readTensorFile(join(run, 'checkpoints', 'step-1', 'model.safetensors')).tensors.get(
        'blocks.1.mlp.fc1.weight',
      )!.data;
    const given = readTensorFile(join(pretrained, 'checkpoints', 'step-3', 'model.safetensors'));
    const [tuned, scratch] = [newRun(), newRun()];
    await maeOk(args('finetune', tuned, still));
    expect(weight(tuned)).toEqual(given.tensors.get('blocks.1.mlp.fc1.weight')!.data);
    await maeOk(args('finetune', scratch, { ...still, 'from-scratch': true }));
    expect(weight(scratch)).not.toEqual(weight(tuned));
    // and a tuned one is a start too
    await maeOk(args('finetune', newRun(), { ...still, checkpoint: tuned }));
  });

  test('of a larger input size, positions are interpolated', async () => {
    const run = newRun();
    const { stderr } = await maeOk(
      args('finetune', run, { 'max-steps': 1, lr: 0, 'weight-decay': 0, 'input-size': 20 }),
    );
    expect(stderr).toContain('positions of 4 × 4 patches are interpolated to 5 × 5');
    const { tensors } = readTensorFile(join(run, 'checkpoints', 'step-1', 'model.safetensors'));
    expect(tensors.get('pos_embed')!.shape).toEqual([1, 26, 24]);
  });
});

test('mae linprobe changes the head and its statistics alone', async () => {
  const run = newRun();
  await maeOk(args('linprobe', run, { lr: 1 }));
  const after = readTensorFile(join(run, 'checkpoints', 'step-12', 'model.safetensors')).tensors;
  const before = readTensorFile(join(pretrained, 'checkpoints', 'step-3', 'model.safetensors')).tensors;
  for (const [name, { data }] of after) {
    if (before.has(name)) expect(data, name).toEqual(before.get(name)!.data);
  }
  expect(after.get('head_norm.running_var')!.data.every((value) => value > 0 && value !== 1)).toBe(true);
  const earlier = readTensorFile(join(run, 'checkpoints', 'step-6', 'model.safetensors')).tensors;
  for (const name of ['head.weight', 'head.bias', 'head_norm.running_mean'])
    expect(after.get(name)!.data, name).not.toEqual(earlier.get(name)!.data);
});

describe('one line for', () => {
  const classes = async (...names: string[]) => {
    const where = join(folder, `classes-${++runs}`);
    for (const name of names) {
      mkdirSync(join(where, name), { recursive: true });
      writeFileSync(join(where, name, 'a.png'), readFileSync(join(train, 'red', '0.png')));
    }
    return where;
  };

  test.each<[string, () => Promise<FlagValues>, RegExp]>([
    [
      'one class',
      async () => ({ 'data-path': await classes('red') }),
      /expected two or more in .*, got red alone/,
    ],
    [
      'no class folders',
      async () => ({ 'data-path': join(train, 'red') }),
      /expected two or more in .*, got none/,
    ],
    [
      'a class of val that train lacks',
      async () => ({ 'val-path': await classes('red', 'white') }),
      /got white as well/,
    ],
    [
      'a picture outside',
      async () => ({ 'data-path': await classes('red', 'blue', '.') }),
      /got 1 outside, such as .*a\.png/,
    ],
    ['--model with a checkpoint', async () => ({ model }), /--model: expected with --from-scratch/],
    ['no weights', async () => ({ checkpoint: undefined }), /--checkpoint: expected the weights/],
    ['a mistyped policy', async () => ({ 'rand-augment': 'rand-x9' }), /rand-x9/],
    [
      'more images a step than there are',
      async () => ({ 'batch-size': 64 }),
      /--batch-size: expected at most 24/,
    ],
    [
      'the folder of a pretraining run',
      async () => ({ 'output-dir': pretrained }),
      /holds a different run \(mae pretrain there, mae finetune here\)/,
    ],
  ])('%s', async (_, values, message) => {
    const run = newRun();
    expect(await maeError(args('finetune', run, await values()))).toMatch(message);
    expect(existsSync(join(run, 'checkpoints'))).toBe(false);
  });

  test('pretraining in the folder of a fine-tuning run, and its config.json', async () => {
    const run = newRun();
    await maeOk(args('finetune', run, { 'max-steps': 1 }));
    const pretraining = pretrainArgs({ 'data-path': train, model, 'output-dir': run, epochs: 1 });
    expect(await maeError(pretraining)).toContain('mae finetune there, mae pretrain here');
    const config = { config: join(run, 'config.json') };
    expect(await maeError(['pretrain', ...flags(config)])).toContain('got a run of mae finetune');
    await maeOk(['finetune', ...flags({ ...config, 'max-steps': 2 })]);
    expect(savedSteps(run)).toContain(2);
  });

  test('batch norm of one image', async () => {
    const message = await maeError(args('linprobe', newRun(), { 'batch-size': 1 }));
    expect(message).toContain('--batch-size: expected two images or more');
  });
});

test('mae linprobe learns at the published rate in steps of few images, too', async () => {
  const scheduleOf = async (values: FlagValues) => {
    const { stdout } = await maeOk([...args('linprobe', newRun(), values), '--dry-run']);
    return /schedule +lr (\S+),/.exec(stdout)?.[1];
  };
  expect(await scheduleOf({})).toBe('6.4');
  expect(await scheduleOf({ blr: 3.2 })).toBe('0.1');
  expect(await scheduleOf({ 'batch-size': 1, 'accum-iter': 8, 'auto-batch': true })).toBe('6.4');
});

test('a moving average is what is validated, and learns nothing else', async () => {
  const [plain, averaged] = [newRun(), newRun()];
  await maeOk(args('finetune', plain, { ...everything, epochs: 2 }));
  await maeOk(args('finetune', averaged, { ...everything, epochs: 2, 'ema-decay': 0.99999 }));
  const weights = (run: string) => readFileSync(join(run, 'checkpoints', 'step-6', 'model.safetensors'));
  expect(weights(averaged).equals(weights(plain))).toBe(true);
  const losses = (run: string) => readLog(run, 'val').map(({ loss }) => loss as number);
  // the average is still where the head began, which tells nothing: ln 3
  for (const loss of losses(averaged)) expect(loss).toBeCloseTo(Math.log(3), 3);
  for (const loss of losses(plain)) expect(Math.abs(loss - Math.log(3))).toBeGreaterThan(0.01);
});
