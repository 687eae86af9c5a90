import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mae, maeError, maeOk, maeOneLine, maeScript } from '../support/cli.js';
import {
  type FlagValues,
  filesOf,
  flags,
  latestFolder,
  pretrainArgs,
  readLog,
  readTensorFile,
  savedSteps,
  tinyModel,
  writeTensorFile,
} from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, model, pictures } = await trainingFiles(24);
const [picture] = pictures;
const run = join(folder, 'run');
const options = { 'data-path': images, model, 'output-dir': join(folder, 'new-run') };

beforeAll(async () => {
  await maeOk(pretrainArgs({ ...options, 'output-dir': run }));
  mkdirSync(join(folder, 'empty'));
  mkdirSync(join(folder, 'texts'));
  writeFileSync(join(folder, 'texts', 'readme.txt'), 'no picture');
});

describe('mae pretrain', () => {
  test.each<[string, FlagValues, RegExp]>([
    ['an unknown model', { model: 'vit_giant' }, /mae_vit_base_patch16.*got "vit_giant"/],
    ['a missing model file', { model: 'nowhere/model.json' }, /nowhere\/model\.json/],
    [
      'an input smaller than a patch',
      { 'input-size': 3 },
      /--input-size: expected .*one patch \(4 px\), got .*3/,
    ],
    ['an input that patches do not fill', { 'input-size': 18 }, /divisible by the patch size 4, got 18.* 20/],
    ['an empty folder', { 'data-path': join(folder, 'empty') }, /expected images below .*empty.*jpg/],
    ['a folder without images', { 'data-path': join(folder, 'texts') }, /expected images below .*texts/],
    [
      'a missing folder',
      { 'data-path': join(folder, 'nowhere') },
      /got nothing at .*nowhere; check the path/,
    ],
    ['a batch larger than the folder', { 'batch-size': 25 }, /--batch-size: expected at most 24 .*got 25/],
    [
      'a step larger than the folder',
      { 'accum-iter': 4 },
      /at most 24 images in a step.*got 32 \(8 × --accum-iter 4/,
    ],
    ['--batch-size 0', { 'batch-size': 0 }, /^--batch-size: expected a whole number of at least 1.*, got 0$/],
    ['--batch-size abc', { 'batch-size': 'abc' }, /^--batch-size: expected a whole number.*, got "abc"$/],
    ['--batch-size 1.5', { 'batch-size': 1.5 }, /^--batch-size: expected a whole number.*, got 1\.5$/],
    ['--batch-size -8', { 'batch-size': -8 }, /^--batch-size: expected a whole number.*, got -8$/],
    ['--epochs 0', { epochs: 0 }, /^--epochs: .*got 0$/],
    ['--lr fast', { lr: 'fast' }, /^--lr: expected a number of at least 0, got "fast"$/],
    ['--lr -1', { lr: -1 }, /^--lr: expected a number of at least 0, got -1$/],
    ['--mask-ratio 1', { 'mask-ratio': 1 }, /^--mask-ratio: expected a number above 0 and below 1, got 1$/],
    [
      '--mask-ratio 0.99',
      { 'mask-ratio': 0.99 },
      /--mask-ratio: .*removes at least one of 16 patches, got 0\.99/,
    ],
    [
      '--predict-ratio 0',
      { 'predict-ratio': 0 },
      /^--predict-ratio: expected a number above 0 and at most 1, got 0$/,
    ],
    [
      '--predict-ratio 1.5',
      { 'predict-ratio': 1.5 },
      /^--predict-ratio: expected a number above 0 and at most 1, got 1\.5$/,
    ],
    ['--predict-ratio most', { 'predict-ratio': 'most' }, /^--predict-ratio: expected a number.*got "most"$/],
    ['--clip-grad 0', { 'clip-grad': 0 }, /^--clip-grad: expected a number above 0, got 0$/],
    ['--num-workers -1', { 'num-workers': -1 }, /^--num-workers: .*got -1$/],
    [
      'a warm-up longer than the run',
      { 'warmup-epochs': 4 },
      /^--warmup-epochs: expected at most --epochs 3, got 4$/,
    ],
    ['--device tpu', { device: 'tpu' }, /^--device: expected auto, cpu, cuda, .* or webgpu, got "tpu"$/],
    ['--device cuda:x', { device: 'cuda:x' }, /^--device: expected .*got "cuda:x"$/],
    ['an unknown flag', { 'bach-size': 3 }, /^Unknown option --bach-size; did you mean --batch-size\?/],
    ['a missing --val-path', { 'val-path': join(folder, 'nowhere') }, /got nothing at .*nowhere/],
    [
      '--resume from nothing',
      { resume: join(folder, 'nowhere') },
      /^checkpoint: expected a run directory.*nowhere/,
    ],
  ])('%s is one line and makes nothing', async (_, change, message) => {
    expect(await maeOneLine(pretrainArgs({ ...options, ...change }))).toMatch(message);
    expect(existsSync(join(options['output-dir'], 'config.json'))).toBe(false);
    expect(existsSync(join(options['output-dir'], 'checkpoints'))).toBe(false);
  });

  test('a model too large for the memory is refused with what it needs', async () => {
    const change = { model: 'mae_vit_huge_patch14', 'batch-size': 65536 };
    const large = { 'data-path': images, 'output-dir': options['output-dir'], ...change };
    const message = await maeOneLine(['pretrain', ...flags(large)]);
    const [, has, needs] = /expected at most ([\d.]+) GiB.*needs about ([\d.]+) GiB/.exec(message)!;
    expect(Number(needs)).toBeGreaterThan(Number(has));
    expect(message).toMatch(/--batch-size \d+ would fit|smaller --model/);
    expect(message).toMatch(/, or try --grad-checkpointing$/);
    expect(existsSync(join(options['output-dir'], 'config.json'))).toBe(false);
  });

  test.runIf(process.platform === 'linux')('memory that runs out is said plainly', () => {
    // 9 GB of address space, of which Node itself reserves some: not enough for the 10.5 GB of a huge model
    const args = flags({ ...options, model: 'mae_vit_huge_patch14', 'batch-size': 1, 'max-steps': 1 });
    const command = `ulimit -v 9000000; exec "$0" "$@"`;
    const shell = ['-c', command, process.execPath, maeScript, 'pretrain', ...args];
    const { status, stderr } = spawnSync('sh', shell, { encoding: 'utf8' });
    expect(stderr).toMatch(
      /^mae: memory: there was not enough for batch size 1: the estimate is .* GiB.*--model/m,
    );
    expect(stderr).not.toContain('internal');
    expect(status).toBe(1);
  });

  test('a library that is not there, or none, is refused', async () => {
    const place = (path: string) => ({ env: { MAE_ONNXRUNTIME_LIBRARY: path } });
    const args = pretrainArgs(options);
    expect(await maeOneLine(args, place(join(folder, 'nowhere.so')))).toMatch(
      /^MAE_ONNXRUNTIME_LIBRARY: expected .*nowhere\.so/,
    );
    expect(await maeOneLine(args, place(model))).toMatch(/^ONNX Runtime: cannot load .*model\.json/);
  });

  test('an output directory that cannot be one is refused', async () => {
    const message = await maeOneLine(pretrainArgs({ ...options, 'output-dir': model }));
    expect(message).toContain(model);
  });
});

describe('checkpoints that cannot be read', () => {
  /** A copy of the run whose latest model.safetensors is changed. */
  const damaged = (name: string, damage: (path: string) => void): string => {
    const copy = join(folder, name);
    cpSync(run, copy, { recursive: true });
    damage(join(latestFolder(copy), 'model.safetensors'));
    return copy;
  };

  const uses = (checkpoint: string): string[][] => [
    ['reconstruct', picture, '--checkpoint', checkpoint, '-o', join(folder, 'never.png')],
    ['export-encoder', '--checkpoint', checkpoint, '-o', join(folder, 'never.onnx')],
    ['embed', '--checkpoint', checkpoint, '--data-path', images, '-o', join(folder, 'never.npy')],
    [
      'evaluate',
      ...flags({ checkpoint, 'train-path': images, 'val-path': images, method: 'knn', threads: 1 }),
      ...flags({ 'num-workers': 0, output: join(folder, 'never-evaluation') }),
    ],
    ...['finetune', 'linprobe'].map((command) => [
      command,
      ...flags({ checkpoint, 'data-path': images, 'output-dir': join(folder, `never-${command}`) }),
      ...flags({ 'batch-size': 4, epochs: 1, 'max-steps': 1, threads: 1, 'num-workers': 0 }),
    ]),
  ];

  /** With those that need a head, which this run has not. */
  const allUses = (checkpoint: string): string[][] => [
    ...uses(checkpoint),
    ['predict', picture, '--checkpoint', checkpoint],
    ['export-classifier', '--checkpoint', checkpoint, '-o', join(folder, 'never.onnx')],
  ];

  test.each<[string, (path: string) => void, RegExp]>([
    ['truncated', (path) => truncateSync(path, 30_000), /model\.safetensors/],
    ['truncated-header', (path) => truncateSync(path, 100), /model\.safetensors/],
    ['empty', (path) => truncateSync(path, 0), /model\.safetensors/],
    ['text', (path) => writeFileSync(path, 'a letter to nobody '.repeat(100)), /model\.safetensors/],
    [
      'foreign',
      (path) =>
        writeTensorFile(path, {
          metadata: { format: 'pt' },
          tensors: new Map([['w', { shape: [1], data: new Float32Array(1) }]]),
        }),
      /expected patch_embed\.proj\.weight in/,
    ],
    [
      'another-model',
      (path) => {
        const { metadata, tensors } = readTensorFile(path);
        const described = { ...metadata, model: JSON.stringify({ ...tinyModel, depth: 2 }) };
        writeTensorFile(path, { metadata: described, tensors });
      },
      /does not fit the model: .*blocks\.1\.[\w.]+ is missing/,
    ],
  ])('%s: one line from each command', async (name, damage, message) => {
    const checkpoint = latestFolder(damaged(name, damage));
    // as earlier versions saved it: nothing but the file itself tells
    rmSync(join(checkpoint, 'SHA256SUMS'));
    for (const args of allUses(join(checkpoint, 'model.safetensors'))) {
      // a head is looked for before sizes are
      const isForClassifiers = ['predict', 'export-classifier'].includes(args[0]!);
      const noHead = isForClassifiers ? '|^checkpoint: expected a classifier in' : '';
      expect(await maeOneLine(args)).toMatch(new RegExp(message.source + noHead));
    }
    expect(existsSync(join(folder, 'never.png'))).toBe(false);
    expect(existsSync(join(folder, 'never.onnx'))).toBe(false);
    expect(existsSync(join(folder, 'never.npy'))).toBe(false);
  });

  const step6 =
    'checkpoint: step-9 is damaged (model.safetensors is not what was saved); going on from step-6';

  test('each command takes the one before a damaged one, and says so', async () => {
    const copy = damaged('passed-over', (path) => truncateSync(path, 30_000));
    for (const args of uses(copy)) {
      const { stderr } = await maeOk(args.map((arg) => arg.replace('never', 'passed-over')));
      expect(stderr).toContain(step6);
      const named = args.map((arg) => (arg === copy ? latestFolder(copy) : arg));
      expect(await maeOneLine(named)).toMatch(/got a damaged one .*give .*\/step-6, the newest whole one/);
    }
  });

  test('a run goes on from the one before, and ends as one that was left alone', async () => {
    const copy = damaged('resumed', (path) => {
      const bytes = readFileSync(path);
      writeFileSync(path, bytes.fill(0, bytes.length / 2, bytes.length / 2 + 1000));
    });
    const { stderr } = await maeOk(pretrainArgs({ ...options, 'output-dir': copy }));
    expect(stderr).toContain(step6);
    expect(stderr).toMatch(/continuing from .*step-6\n/);
    const checkpoints = filesOf(join(run, 'checkpoints'));
    expect(filesOf(join(copy, 'checkpoints'))).toEqual(checkpoints);
    const steps = (path: string) => readLog(path, 'train').map(({ step, loss }) => [step, loss]);
    expect(steps(copy)).toEqual(steps(run));
  });

  test('all of them damaged: one line that names each, and nothing is touched', async () => {
    const copy = damaged('hopeless', () => {});
    for (const step of [3, 6, 9])
      truncateSync(join(copy, `checkpoints/step-${step}/optimizer.safetensors`), 99);
    const before = filesOf(join(copy, 'checkpoints'));
    const message = await maeError(pretrainArgs({ ...options, 'output-dir': copy }));
    expect(message).toMatch(/got none \(step-9 is .*step-6 is .*step-3 is .*\); copy one back/);
    expect(filesOf(join(copy, 'checkpoints'))).toEqual(before);
    expect(readLog(copy, 'train')).toHaveLength(9);
  });

  test('a damaged state.json of an earlier version is named', async () => {
    const copy = damaged('stateless', (path) => {
      const state = join(path, '..', 'state.json');
      const { epoch, ...rest } = JSON.parse(readFileSync(state, 'utf8'));
      writeFileSync(state, JSON.stringify({ ...rest, epoch: `${epoch}` }));
      rmSync(join(path, '..', 'SHA256SUMS'));
    });
    const message = await maeError(pretrainArgs({ ...options, 'output-dir': copy }));
    expect(message).toMatch(/"epoch".*state\.json/);
  });

  test('nothing at all', async () => {
    for (const args of allUses(join(folder, 'nowhere'))) {
      expect(await maeOneLine(args)).toMatch(/^checkpoint: expected a run directory.*nowhere/);
    }
    for (const args of uses(join(folder, 'texts'))) {
      expect(await maeOneLine(args)).toMatch(/^checkpoint: expected a run directory.*texts/);
    }
  });
});

describe('mae reconstruct', () => {
  test.each([
    ['a missing picture', 'nowhere.jpg', /expected a readable .*nowhere\.jpg/],
    ['a file of another kind', 'model.json', /expected a readable .*model\.json/],
  ])('%s is one line', async (_, name, message) => {
    const output = join(folder, 'none.png');
    const args = ['reconstruct', join(folder, name), '--checkpoint', run, '-o', output];
    expect(await maeOneLine(args)).toMatch(message);
    expect(existsSync(output)).toBe(false);
  });

  test('a place that cannot be written is one line', async () => {
    for (const args of [
      ['reconstruct', picture, '--checkpoint', run, '-o', join(model, 'out.png')],
      ['export-encoder', '--checkpoint', run, '-o', join(model, 'out.onnx')],
      ['build-artifacts', '--model', model, '-o', join(model, 'artifacts')],
      ['sample-data', '-o', join(model, 'images'), '--count', '1'],
    ]) {
      expect(await maeOneLine(args), args[0]).toContain(model);
    }
  });

  test.each([
    ['--mask-ratio', '0'],
    ['--mask-ratio', '0.95'],
    ['--mask-ratio', 'half'],
    ['--seed', '-1'],
    ['--fit', 'stretch'],
    ['--device', 'tpu'],
  ])('%s %s is one line', async (flag, value) => {
    const args = ['reconstruct', picture, '--checkpoint', run, '-o', join(folder, 'never.png')];
    const message = await maeOneLine([...args, flag, value]);
    expect(message).toContain(flag.slice(2));
    expect(message).toContain(value);
  });
});

describe('a folder of damaged pictures', () => {
  const damage = (path: string, kept: number): void => {
    const bytes = readFileSync(picture);
    writeFileSync(path, bytes.subarray(0, kept));
  };

  test('some of them are named, counted and replaced', async () => {
    const mixed = join(folder, 'mixed');
    cpSync(images, mixed, { recursive: true });
    damage(join(mixed, 'gradients', 'cut.jpg'), 40);
    writeFileSync(join(mixed, 'text.png'), 'not a picture');
    writeFileSync(join(mixed, 'nothing.webp'), '');
    const path = join(folder, 'mixed-run');
    const args = { ...options, 'data-path': mixed, 'val-path': mixed, 'output-dir': path, 'batch-size': 9 };
    const { stderr } = await maeOk(pretrainArgs(args));

    // 27 files in batches of 9: each epoch meets all three, once
    const bad = ['gradients/cut.jpg', 'nothing.webp', 'text.png'];
    const named = readLog(path, 'skipped');
    expect(named.map((line) => String(line['path']).slice(mixed.length + 1)).sort()).toEqual(bad);
    for (const line of named) expect(line['reason']).toMatch(/\w{3,}/);
    for (const name of bad) expect(stderr).toContain(`skipped ${join(mixed, name)}: `);
    const counts = readLog(path, 'train').map((line) => line['skipped_images'] as number);
    expect(counts).toHaveLength(9);
    expect([counts[2], counts[5], counts[8]]).toEqual([3, 6, 9]);
    for (const line of readLog(path, 'val')) expect(line).toMatchObject({ images: 24, skipped_images: 3 });

    // a resumed run counts on
    const halves = join(folder, 'mixed-halves');
    await maeOk(pretrainArgs({ ...args, 'output-dir': halves, 'max-steps': 4 }));
    await maeOk(pretrainArgs({ ...args, 'output-dir': halves }));
    expect(readLog(halves, 'train').map((line) => line['skipped_images'])).toEqual(counts);
    expect(filesOf(join(halves, 'checkpoints/step-9'))).toEqual(filesOf(join(path, 'checkpoints/step-9')));
  });

  test('all of them end the run with one of their names', async () => {
    const wholly = join(folder, 'wholly');
    mkdirSync(wholly);
    for (let i = 0; i < 16; i++) damage(join(wholly, `${i}.jpg`), 10 + i);
    for (const workers of [0, 1]) {
      const path = join(folder, `wholly-run-${workers}`);
      const args = { ...options, 'data-path': wholly, 'output-dir': path, 'num-workers': workers };
      const message = await maeError(pretrainArgs(args));
      expect(message).toContain(wholly);
      expect(message).toMatch(/\d+\.jpg/);
      expect(savedSteps(path)).toEqual([]);
    }
  });
});

describe('a full disk', () => {
  const disk = join(folder, 'disk');
  const filler = join(disk, 'filler');
  let reason: string | undefined;

  beforeAll(() => {
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk], { stdio: 'pipe' });
    } catch (error) {
      reason = `a small tmpfs cannot be mounted here (${String(error).split('\n').at(-2) ?? error})`;
    }
  });
  afterAll(() => {
    if (reason === undefined) execFileSync('umount', ['-l', disk]);
  });

  /** Leaves so many bytes free. */
  const fillBut = (free: number): void => {
    rmSync(filler, { force: true });
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(filler, Buffer.alloc(bavail * bsize - free));
  };

  test('leaves the old checkpoint whole, and the run goes on when there is space', async (context) => {
    if (reason !== undefined) {
      console.warn(`skipped: ${reason}`);
      context.skip(reason);
    }
    const path = join(disk, 'run');
    const args = { ...options, 'output-dir': path };
    await maeOk(pretrainArgs({ ...args, 'max-steps': 3 }));
    const saved = filesOf(join(path, 'checkpoints'));

    fillBut(72 * 1024); // room for model.safetensors, not for optimizer.safetensors
    const message = await maeError(pretrainArgs(args));
    expect(message).toMatch(/^checkpoint: .*step-6.*ENOSPC.*step-3 is still whole$/);
    expect(filesOf(join(path, 'checkpoints'))).toEqual(saved);

    fillBut(0);
    const { code, stderr } = await mae(pretrainArgs(args));
    expect(code).toBe(1);
    expect(stderr).toMatch(/^mae: .*ENOSPC/m);
    expect(stderr).not.toMatch(/internal|^ +at /m);
    expect(filesOf(join(path, 'checkpoints'))).toEqual(saved);

    fillBut(8 * 1024); // the log ends first
    const logFull = await maeError(pretrainArgs({ ...args, epochs: 3, 'save-every': 100, 'log-every': 1 }));
    expect(logFull).toMatch(/ENOSPC/);
    expect(filesOf(join(path, 'checkpoints'))).toEqual(saved);

    rmSync(filler);
    await maeOk(pretrainArgs(args));
    const undisturbed = join(run, 'checkpoints/step-9');
    expect(filesOf(join(path, 'checkpoints/step-9'))).toEqual(filesOf(undisturbed));
    expect(readLog(path, 'train').map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
