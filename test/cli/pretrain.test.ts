import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { cacheFolder, maeError, maeOk, maeOneLine } from '../support/cli.js';
import {
  filesOf,
  latestFolder,
  pretrainArgs,
  readLog,
  readTensorFile,
  savedSteps,
  tinyModel,
  writeImages,
  writeModel,
} from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, model, newRun } = await trainingFiles(26);
const run = join(folder, 'run');
/** Of the run that several tests look at. */
const options = { 'data-path': images, 'val-path': images, model };
let stderr: string;

beforeAll(async () => {
  ({ stderr } = await maeOk(pretrainArgs({ ...options, 'output-dir': run })));
});

describe('a run', () => {
  test('writes its directory', () => {
    const files = Object.keys(filesOf(run)).map((name) => name.replace(/tfevents\.\d{10}\./, 'tfevents.…'));
    expect(files.sort()).toEqual([
      'artifacts/eval_model.onnx',
      'artifacts/gradient_norm_model.onnx',
      'artifacts/manifest.json',
      'artifacts/optimizer_model.onnx',
      'artifacts/training_model.onnx',
      'checkpoints/latest',
      ...[3, 6, 9].flatMap((step) =>
        ['SHA256SUMS', 'model.safetensors', 'optimizer.safetensors', 'state.json'].map(
          (name) => `checkpoints/step-${step}/${name}`,
        ),
      ),
      'config.json',
      'images.list',
      'log.jsonl',
      ...[0, 1, 2, 3].map((epochs) => `pictures/epoch-000${epochs}.png`),
      'pictures/pictures.json',
      'tensorboard/events.out.tfevents.…mae',
    ]);
    expect(readFileSync(join(run, 'checkpoints/latest'), 'utf8').trim()).toBe('step-9');
  });

  test('logs the contracted fields of each step', () => {
    const lines = readLog(run, 'train');
    expect(lines.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(lines.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2]);
    for (const line of lines) {
      expect(Object.keys(line).sort()).toEqual(
        [
          ...['level', 'time', 'type', 'step', 'epoch', 'loss', 'lr', 'grad_norm'],
          ...['images_per_second', 'data_wait', 'skipped_images'],
        ].sort(),
      );
      expect(line['loss']).toBeGreaterThan(0.1);
      expect(line['grad_norm']).toBeGreaterThan(0);
      expect(line['images_per_second']).toBeGreaterThan(0);
      expect(line['data_wait']).toBeGreaterThanOrEqual(0);
      expect(line['data_wait']).toBeLessThanOrEqual(1);
      expect(line['skipped_images']).toBe(0);
    }
  });

  test('warms up from zero, then follows half a cosine to the end', () => {
    const rates = readLog(run, 'train').map(({ lr }) => lr as number);
    const wanted = Array.from({ length: 9 }, (_, step) => {
      const epoch = step / 3;
      return epoch < 1 ? 1e-3 * epoch : 0.5e-3 * (1 + Math.cos((Math.PI * (epoch - 1)) / 2));
    });
    rates.forEach((rate, i) => {
      expect(rate).toBeCloseTo(wanted[i]!, 12);
    });
  });

  test('learns: every trained parameter moves and stays finite', () => {
    const [first, last] = [3, 9].map((step) =>
      readTensorFile(join(run, 'checkpoints', `step-${step}`, 'model.safetensors')),
    );
    for (const [name, { data }] of last!.tensors) {
      expect(data.every(Number.isFinite), name).toBe(true);
      const moved = data.some((value, i) => value !== first!.tensors.get(name)!.data[i]);
      expect(moved, name).toBe(!name.endsWith('pos_embed'));
    }
  });

  test('validates after each epoch', () => {
    const lines = readLog(run, 'val');
    expect(lines.map(({ epoch, step }) => [epoch, step])).toEqual([
      [0, 3],
      [1, 6],
      [2, 9],
    ]);
    for (const line of lines) expect(line).toMatchObject({ images: 26, skipped_images: 0 });
    expect(new Set(lines.map(({ loss }) => loss)).size).toBe(3);
    expect(lines.at(-1)!['loss']).toBeLessThan(lines[0]!['loss'] as number);
  });

  test('config.json holds every option and the versions', () => {
    const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
    expect(config).toMatchObject({ node: process.version, model: tinyModel, dataset: { images: 26 } });
    expect(config.onnxruntime).toMatch(/^\d+\.\d+\.\d+$/);
    expect(config.mae).toMatch(/^\d+\.\d+\.\d+/);
    expect(config.options).toEqual({
      'data-path': images,
      rescan: false,
      'val-path': images,
      'output-dir': run,
      model,
      'batch-size': 8,
      'accum-iter': 1,
      'auto-batch': false,
      epochs: 3,
      'warmup-epochs': 1,
      blr: 1.5e-4,
      lr: 1e-3,
      'min-lr': 0,
      'weight-decay': 0.05,
      'mask-ratio': 0.75,
      'predict-ratio': 1,
      'norm-pix-loss': true,
      'crop-scale': 0.5, // the recipe's
      recipe: 'small',
      'exif-rotation': true,
      seed: 0,
      'num-workers': 0,
      threads: 1,
      resume: 'auto',
      'probe-every': 10,
      'save-every': 1,
      keep: 3,
      'max-bad-steps': 10,
      tensorboard: true,
      'log-every': 1,
      'grad-checkpointing': false,
      device: 'cpu',
      precision: 'auto',
      kernels: true,
    });
  });

  test('tells of itself on stderr', () => {
    expect(stderr).toMatch(/4 of 16 patches visible/);
    expect(stderr).toMatch(/26 images, 3 steps of 8 an epoch, 9 steps in all/);
    expect(stderr).toMatch(/^2 of 26 images are left over in each epoch, others each time$/m);
    expect(stderr).toMatch(/^step 9\/9 {2}epoch 3\/3 {2}loss \d\.\d{4}/m);
    expect(stderr).toMatch(/^epoch 3 {2}validation loss \d\.\d{4}$/m);
    expect(stderr).toMatch(/^done at step 9; saved .*step-9$/m);
    expect(stderr, 'no bar without a terminal').not.toContain('\x1b');
  });

  test('is the same again, with other workers too', async () => {
    const again = newRun();
    await maeOk(pretrainArgs({ ...options, 'output-dir': again, 'num-workers': 2 }));
    const checkpoints = (path: string) => filesOf(join(path, 'checkpoints'));
    expect(checkpoints(again)).toEqual(checkpoints(run));
    const losses = (path: string) => readLog(path, 'val').map(({ loss }) => loss);
    expect(losses(again)).toEqual(losses(run));
  });

  test('has other weights with another seed', async () => {
    const other = newRun();
    await maeOk(pretrainArgs({ ...options, 'output-dir': other, seed: 1, 'max-steps': 1 }));
    expect(readLog(other, 'train')[0]!['loss']).not.toBe(readLog(run, 'train')[0]!['loss']);
  });
});

describe('checkpoints', () => {
  test('a run at its end, or past --max-steps, says so and does nothing', async () => {
    const path = newRun();
    cpSync(run, path, { recursive: true });
    const before = filesOf(join(path, 'checkpoints'));
    for (const change of [{}, { 'max-steps': 4 }]) {
      const { stderr } = await maeOk(pretrainArgs({ ...options, 'output-dir': path, ...change }));
      const said = `already at its end (step 9): nothing to do; it is saved in ${latestFolder(path)}\n`;
      expect(stderr).toContain(said);
      expect(stderr).not.toMatch(/^done/m);
      expect(filesOf(join(path, 'checkpoints'))).toEqual(before);
    }
  });

  test('config.json starts the run again from any folder', async () => {
    const path = newRun();
    const there = { cwd: dirname(path) };
    const given = { ...options, 'data-path': relative(there.cwd, images), 'output-dir': basename(path) };
    await maeOk(pretrainArgs({ ...given, 'max-steps': 1 }), there);
    const config = join(path, 'config.json');
    await maeOk(['pretrain', '--config', config, '--max-steps', '2'], { cwd: '/' });
    expect(readLog(path, 'train').map(({ step }) => step)).toEqual([1, 2]);
  });

  test('more threads than cores are said to be slower', async () => {
    const many = pretrainArgs({ ...options, 'output-dir': newRun(), threads: 1000, 'dry-run': true });
    expect((await maeOk(many)).stderr).toMatch(
      /^--threads 1000: this process may use \d+ cores?; .* slower$/m,
    );
  });

  test('--keep leaves the newest, --save-every-steps adds to those of epochs', async () => {
    const path = newRun();
    const saving = { keep: 4, 'save-every-steps': 2, 'save-every': 2 };
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, ...saving }));
    const saved = readLog(path, 'checkpoint').map(({ step }) => step);
    expect(saved).toEqual([2, 4, 6, 8, 9]);
    expect(savedSteps(path)).toEqual([4, 6, 8, 9]);
    expect(latestFolder(path)).toBe(join(path, 'checkpoints/step-9'));
  });

  test('--max-steps ends the run at that step, saved, and a higher one goes on', async () => {
    const path = newRun();
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, 'max-steps': 4 }));
    expect(savedSteps(path)).toEqual([3, 4]);
    const { stderr: text } = await maeOk(pretrainArgs({ ...options, 'output-dir': path }));
    expect(text).toContain(`continuing from ${join(path, 'checkpoints/step-4')}`);
    expect(filesOf(join(path, 'checkpoints/step-9'))).toEqual(filesOf(join(run, 'checkpoints/step-9')));
    expect(readLog(path, 'train').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(readLog(path, 'train').map(({ loss }) => loss)).toEqual(
      readLog(run, 'train').map(({ loss }) => loss),
    );
  });

  test('a run that is done stays as it is', async () => {
    const path = newRun();
    cpSync(run, path, { recursive: true });
    await maeOk(pretrainArgs({ ...options, 'output-dir': path }));
    expect(filesOf(join(path, 'checkpoints'))).toEqual(filesOf(join(run, 'checkpoints')));
  });

  test('--resume PATH goes on from a checkpoint elsewhere', async () => {
    const path = newRun();
    const from = join(run, 'checkpoints/step-6');
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, resume: from }));
    expect(readLog(path, 'train').map(({ step }) => step)).toEqual([7, 8, 9]);
    expect(filesOf(join(path, 'checkpoints/step-9'))).toEqual(filesOf(join(run, 'checkpoints/step-9')));
  });

  test('threads and workers may differ on resume', async () => {
    const path = newRun();
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, 'max-steps': 3 }));
    const others = { threads: 2, 'num-workers': 1, 'log-every': 2 };
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, 'max-steps': 6, ...others }));
    expect(savedSteps(path)).toEqual([3, 6]);
    const loss = readLog(path, 'train').find(({ step }) => step === 6)!['loss'] as number;
    expect(loss).toBeCloseTo(readLog(run, 'train')[5]!['loss'] as number, 5);
  });
});

describe('a directory that holds another run', () => {
  test.each([
    [{ 'batch-size': 4 }, 'batch-size 8 there, 4 here'],
    [{ lr: 1e-4 }, 'lr 0.001 there, 0.0001 here'],
    [{ 'no-norm-pix-loss': true as const }, 'norm-pix-loss true there, false here'],
    [{ 'input-size': 20 }, 'model inputSize 16 there, 20 here'],
  ])('is refused by name with %j and stays untouched', async (change, named) => {
    const before = filesOf(run);
    const message = await maeOneLine(pretrainArgs({ ...options, 'output-dir': run, ...change }));
    expect(message).toContain(`${run} holds a different run`);
    expect(message).toContain(named);
    expect(filesOf(run)).toEqual(before);
  });

  test('is refused with other images', async () => {
    const others = join(folder, 'other-images');
    await writeImages(join(others, 'below'), 24, 1);
    const before = filesOf(run);
    const message = await maeOneLine(pretrainArgs({ ...options, 'data-path': others, 'output-dir': run }));
    expect(message).toContain(`expected the 26 images of ${run} in ${others}, got 0 of them`);
    expect(message).toContain(`the same command with --init ${run} --output-dir ${run}-`);
    expect(filesOf(run)).toEqual(before);
  });

  test('is refused with --resume never', async () => {
    const before = filesOf(run);
    const message = await maeOneLine(pretrainArgs({ ...options, 'output-dir': run, resume: 'never' }));
    expect(message).toMatch(/^--resume never: expected an --output-dir without a run/);
    expect(filesOf(run)).toEqual(before);
  });

  test('that failed before its first step is no run', async () => {
    const path = newRun();
    const broken = join(folder, 'broken-images');
    mkdirSync(broken);
    for (let i = 0; i < 20; i++) writeFileSync(join(broken, `${i}.jpg`), 'not a picture');
    await maeError(pretrainArgs({ ...options, 'data-path': broken, 'output-dir': path }));
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, 'max-steps': 1 }));
    expect(savedSteps(path)).toEqual([1]);
  });
});

describe('--init', () => {
  test('starts a new run from the weights of another', async () => {
    const path = newRun();
    // with a learning rate of zero the weights stay those that it began with
    const args = { ...options, 'output-dir': path, init: run, lr: 0, 'max-steps': 1 };
    await maeOk(pretrainArgs(args));
    expect(readLog(path, 'train').map(({ step, epoch }) => [step, epoch])).toEqual([[1, 0]]);
    const start = readTensorFile(join(run, 'checkpoints/step-9/model.safetensors'));
    const got = readTensorFile(join(path, 'checkpoints/step-1/model.safetensors'));
    expect(got.metadata['step']).toBe('1');
    for (const [name, { data }] of start.tensors) expect(got.tensors.get(name)!.data, name).toEqual(data);
    const moments = readTensorFile(join(path, 'checkpoints/step-1/optimizer.safetensors')).tensors;
    const { data: gradient } = moments.get('exp_avg.mask_token')!;
    expect(gradient.some((value) => value !== 0)).toBe(true);
    // the same again resumes; with another --init it is another run
    await maeOk(pretrainArgs({ ...args, 'max-steps': 2 }));
    const message = await maeOneLine(pretrainArgs({ ...args, init: join(run, 'checkpoints/step-3') }));
    expect(message).toMatch(/holds a different run \(init .*run there, .*step-3 here\)/);
  });

  test('takes a file of weights alone, and refuses those of another model by name', async () => {
    const path = newRun();
    const alone = join(folder, 'weights.safetensors');
    cpSync(join(run, 'checkpoints/step-9/model.safetensors'), alone);
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, init: alone, 'max-steps': 1 }));

    const deeper = join(folder, 'deeper');
    mkdirSync(deeper);
    const deep = writeModel(deeper, { ...tinyModel, depth: 2 });
    const other = { ...options, 'output-dir': newRun(), init: alone };
    const missing = await maeError(pretrainArgs({ ...other, model: deep }));
    expect(missing).toContain('blocks.1.attn.qkv.weight is missing');
    const wide = writeModel(deeper, { ...tinyModel, mlpRatio: 4 });
    const shape = await maeError(pretrainArgs({ ...other, model: wide }));
    expect(shape).toMatch(/: blocks\.0\.mlp\.fc1\.weight is \[48, 24\] instead of \[96, 24\]/);
  });
});

describe('--norm-pix-loss', () => {
  test('is on; --no-norm-pix-loss turns it off', async () => {
    const path = newRun();
    await maeOk(pretrainArgs({ ...options, 'output-dir': path, 'max-steps': 1, 'no-norm-pix-loss': true }));
    const manifest = (of: string) => JSON.parse(readFileSync(join(of, 'artifacts/manifest.json'), 'utf8'));
    expect(manifest(run).options.normPixLoss).toBe(true);
    expect(manifest(path).options.normPixLoss).toBe(false);
    const { metadata } = readTensorFile(join(latestFolder(path), 'model.safetensors'));
    expect(metadata['norm_pix_loss']).toBe('false');
    expect(readLog(path, 'train')[0]!['loss']).not.toBeCloseTo(
      readLog(run, 'train')[0]!['loss'] as number,
      3,
    );
  });
});

describe('--dry-run', () => {
  test('prints what the run would be and makes nothing', async () => {
    const path = newRun();
    const args = { ...options, 'output-dir': path, 'accum-iter': 3, 'dry-run': true as const };
    const { stdout } = await maeOk(pretrainArgs(args));
    const rows = Object.fromEntries(
      [...stdout.matchAll(/^(\w+) +(.*)$/gm)].map(([, name, value]) => [name, value]),
    );
    expect(Object.keys(rows)).toEqual(
      expect.arrayContaining([
        'model',
        'parameters',
        'tokens',
        'memory',
        'images',
        'batch',
        'steps',
        'schedule',
      ]),
    );
    expect(rows['tokens']).toMatch(/16 patches an image: 4 visible, 12 removed/);
    expect(rows['memory']).toMatch(/GiB/);
    expect(rows['images']).toMatch(/^26 in /);
    expect(rows['batch']).toMatch(/^24 = 8 × 3/);
    expect(stdout).toMatch(/^left over {3}2 of 26 images in each epoch, others each time$/m);
    expect(rows['steps']).toMatch(/^3: 1 an epoch, 3 epochs/);
    expect(rows['schedule']).toMatch(/lr 0\.001, 1 epochs of warm-up/);
    expect(rows['recipe']).toBe('small: crops from 50 % on'); // the rest is given
    expect(readdirSync(folder)).not.toContain(path.slice(folder.length + 1));
  });

  test('says how many of the removed patches are predicted, where those are not all', async () => {
    const args = { ...options, 'output-dir': newRun(), 'predict-ratio': 0.25, 'dry-run': true as const };
    const { stdout } = await maeOk(pretrainArgs(args));
    expect(stdout).toMatch(/16 patches an image: 4 visible, 12 removed, 3 of them predicted$/m);
  });

  test('counts the parameters of the published large model', async () => {
    const args = ['pretrain', '--data-path', images, '--output-dir', newRun(), '--batch-size', '2'];
    const { stdout } = await maeOk([...args, '--dry-run']);
    expect(stdout).toMatch(/^model +mae_vit_large_patch16, 224 px, patch 16$/m);
    expect(stdout).toMatch(/^parameters +329\.5 M$/m);
    expect(stdout).toMatch(/196 patches an image: 49 visible, 147 removed/);
    expect(stdout).toMatch(/^recipe +published: blr 0\.00015, 800 epochs, 40 epochs of warm-up$/m);
    // 2 / 256 × 1.5e-4
    expect(stdout).toMatch(/lr 0\.000001171875,/);
  });
});

test('the index of a folder is kept in the cache, and a new file in it is seen', async () => {
  const grown = join(folder, 'grown');
  cpSync(images, grown, { recursive: true });
  const args = pretrainArgs({ ...options, 'data-path': grown, 'output-dir': newRun(), 'dry-run': true });
  const count = async () => Number(/^images +(\d+) in /m.exec((await maeOk(args)).stdout)![1]);
  const before = readdirSync(join(cacheFolder, 'mae')).length;
  expect(await count()).toBe(26);
  expect(readdirSync(join(cacheFolder, 'mae'))).toHaveLength(before + 1);
  expect(await count()).toBe(26);
  cpSync(join(grown, 'gradients', 'gradients-00001.jpg'), join(grown, 'gradients', 'one-more.jpg'));
  expect(await count()).toBe(27);
  expect(readdirSync(join(cacheFolder, 'mae'))).toHaveLength(before + 1);
});

describe('--config', () => {
  let configs = 0;
  const write = (value: unknown): string => {
    const path = join(folder, `config-${++configs}.json`);
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
    return path;
  };
  const given = { 'data-path': images, model, 'warmup-epochs': 1 };

  test('gives options, and flags win', async () => {
    const path = newRun();
    const config = write({
      ...given,
      'batch-size': 4,
      epochs: 2,
      seed: 3,
      'norm-pix-loss': false,
      threads: 1,
    });
    await maeOk([
      'pretrain',
      '--config',
      config,
      '--output-dir',
      path,
      '--batch-size',
      '13',
      '--max-steps',
      '1',
    ]);
    const { options: used } = JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
    const wanted = {
      'batch-size': 13,
      epochs: 2,
      seed: 3,
      'norm-pix-loss': false,
      'max-steps': 1,
      lr: 1.5e-3, // the recipe's
    };
    for (const [flag, value] of Object.entries(wanted)) expect(used[flag], flag).toBe(value);
    expect(used).not.toHaveProperty('config');
  });

  test("takes a run's config.json and so repeats the run", async () => {
    const path = newRun();
    await maeOk(['pretrain', '--config', join(run, 'config.json'), '--output-dir', path]);
    expect(filesOf(join(path, 'checkpoints'))).toEqual(filesOf(join(run, 'checkpoints')));
    const optionsOf = (of: string) => JSON.parse(readFileSync(join(of, 'config.json'), 'utf8')).options;
    expect(optionsOf(path)).toEqual({ ...optionsOf(run), 'output-dir': path });
  });

  test.each<[string, unknown, RegExp]>([
    ['an unknown key', { ...given, 'batch-sizes': 3 }, /unknown option "batch-sizes"/],
    ['a field in camelCase', { ...given, batchSize: 3 }, /unknown option "batchSize"/],
    ['another config', { ...given, config: 'x.json' }, /unknown option "config"/],
    ['a number out of range', { ...given, 'batch-size': 0 }, /^--batch-size: expected .* got 0$/],
    [
      'text for a switch',
      { ...given, 'norm-pix-loss': 'no' },
      /^--norm-pix-loss: expected true or false.*"no"/,
    ],
    ['no object', [1], /expected a JSON object/],
    ['no JSON', '{', /^--config: expected a JSON file/],
  ])('with %s is refused', async (_, value, message) => {
    const path = newRun();
    expect(await maeOneLine(['pretrain', '--config', write(value), '--output-dir', path])).toMatch(message);
    expect(readdirSync(folder)).not.toContain(path.slice(folder.length + 1));
  });

  test('that is missing is refused', async () => {
    const args = ['pretrain', '--config', join(folder, 'nowhere.json'), '--output-dir', newRun()];
    expect(await maeOneLine(args)).toMatch(/^--config: expected a JSON file at .*nowhere\.json/);
  });
});
