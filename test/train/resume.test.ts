import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve as resolvePath } from 'node:path';
import { expect, test } from 'vitest';
import { JsonLog } from '../../src/train/observers/jsonl.js';
import type { PretrainOptions } from '../../src/train/options.js';
import { resolveExifRotation } from '../../src/train/recorded-run.js';
import { findResume } from '../../src/train/resume.js';
import { describeRun, type RunConfig, writeRunConfig } from '../../src/train/run-config.js';
import { UserError } from '../../src/util/errors.js';
import { writeDigests } from '../../src/weights/checkpoint/digests.js';
import { tinyModel } from '../support/cli-files.js';
import { optionsOf, startOf, stepOf, temporaryFolder } from './support.js';

const images = { images: 300, fingerprint: '0123456789abcdef' };

function describeWith(options: PretrainOptions, changes: Partial<Pick<RunConfig, 'model' | 'dataset'>> = {}) {
  const { model = tinyModel, dataset = images } = changes;
  const source = { length: dataset.images, fingerprint: dataset.fingerprint };
  return describeRun(options, model, source, { mae: '1.2.3', onnxruntime: '4.5.6' });
}

/** A run directory with a checkpoint at each of the steps, the last one the latest. */
async function makeRun(steps: number[] = [20, 40]): Promise<{ run: string; options: PretrainOptions }> {
  const run = join(temporaryFolder(), 'run');
  mkdirSync(join(run, 'checkpoints'), { recursive: true });
  const options = optionsOf({ outputDir: run, clipGrad: 1 });
  await writeRunConfig(run, describeWith(options));
  for (const step of steps) {
    const folder = join(run, 'checkpoints', `step-${step}`);
    mkdirSync(folder);
    for (const name of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      writeFileSync(join(folder, name), '');
    }
    await writeDigests(folder);
    writeFileSync(join(run, 'checkpoints', 'latest'), `step-${step}\n`);
  }
  return { run, options };
}

const resume = (
  options: PretrainOptions,
  changes?: Partial<Pick<RunConfig, 'model' | 'dataset'>>,
  note: (line: string) => void = () => {},
): Promise<string | undefined> => findResume(describeWith(options, changes), options, note);

async function refusal(result: Promise<unknown>): Promise<string> {
  const error = await result.then(
    (value) => new Error(`not refused: ${value}`),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as Error).message;
}

test('config.json names every option as a flag, the versions, the model and the images', async () => {
  const { run } = await makeRun();
  const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
  expect(config).toMatchObject({ mae: '1.2.3', onnxruntime: '4.5.6', node: process.version });
  expect(config.options).toMatchObject({
    'batch-size': 64,
    'clip-grad': 1,
    'norm-pix-loss': true,
    'data-path': resolvePath('images'),
  });
  expect(config.model).toEqual(tinyModel);
  expect(config.dataset).toEqual(images);
});

test('a new directory has nothing to resume', async () => {
  const outputDir = join(temporaryFolder(), 'missing');
  for (const value of ['auto', 'never']) {
    expect(await resume(optionsOf({ outputDir, resume: value }))).toBeUndefined();
  }
});

test('the same options go on from the latest checkpoint', async () => {
  const { run, options } = await makeRun();
  expect(await resume(options)).toBe(join(run, 'checkpoints', 'step-40'));
});

test('what does not change the result may differ', async () => {
  const { run, options } = await makeRun();
  const free = {
    threads: 5,
    numWorkers: 7,
    keep: 1,
    logEvery: 1,
    saveEvery: 9,
    saveEverySteps: 3,
    tensorboard: false,
    picturesEvery: 0,
  };
  const same = { gradCheckpointing: true };
  const moved = { dataPath: 'elsewhere', maxSteps: 17, valPath: 'other', model: 'same-model.json' };
  expect(await resume({ ...options, ...free, ...same, ...moved })).toBe(join(run, 'checkpoints', 'step-40'));
});

test.each<[Partial<PretrainOptions>, string]>([
  [{ batchSize: 32 }, 'batch-size 64 there, 32 here'],
  [{ accumIter: 2 }, 'accum-iter 1 there, 2 here'],
  [{ epochs: 801 }, 'epochs 800 there, 801 here'],
  [{ warmupEpochs: 41 }, 'warmup-epochs 40 there, 41 here'],
  [{ blr: 0.1 }, 'blr 0.00015 there, 0.1 here'],
  [{ lr: 0.1 }, 'lr not given there, 0.1 here'],
  [{ minLr: 0.1 }, 'min-lr 0 there, 0.1 here'],
  [{ weightDecay: 0.1 }, 'weight-decay 0.05 there, 0.1 here'],
  [{ maskRatio: 0.5 }, 'mask-ratio 0.75 there, 0.5 here'],
  [{ predictRatio: 0.5 }, 'predict-ratio 1 there, 0.5 here'],
  [{ normPixLoss: false }, 'norm-pix-loss true there, false here'],
  [{ cropScale: 0.5 }, 'crop-scale 0.2 there, 0.5 here'],
  [{ clipGrad: 2 }, 'clip-grad 1 there, 2 here'],
  [{ exifRotation: false }, 'exif-rotation true there, false here'],
  [{ seed: 1 }, 'seed 0 there, 1 here'],
])('%j is another run', async (change, named) => {
  const { run, options } = await makeRun();
  const message = await refusal(resume({ ...options, ...change }));
  const another = `start another run from its weights: the same command with --init ${run} --output-dir ${run}-2`;
  expect(message).toBe(
    `${run} holds a different run (${named}); give the same options to continue it, or ${another}`,
  );
});

test('paths are recorded as they are from every folder, and their spelling makes no other run', async () => {
  const folder = temporaryFolder();
  const options = optionsOf({ outputDir: 'run', valPath: './val', init: 'a/../weights', resume: 'runs/x' });
  expect(describeWith({ ...options, model: 'tiny.json' }).options).toMatchObject({
    'output-dir': resolvePath('run'),
    'val-path': resolvePath('val'),
    init: resolvePath('weights'),
    resume: resolvePath('runs/x'),
    model: resolvePath('tiny.json'),
  });
  const preset = describeWith(optionsOf({ model: 'mae_vit_base_patch16', resume: 'auto' })).options;
  expect(preset).toMatchObject({ model: 'mae_vit_base_patch16', resume: 'auto' });

  const { run, options: fresh } = await makeRun();
  const weights = join(folder, 'weights');
  const path = join(run, 'config.json');
  // version 0.1.0 recorded them as they were given
  for (const recorded of [weights, relative('.', weights), `${weights}/`]) {
    const config = JSON.parse(readFileSync(path, 'utf8'));
    config.options.init = recorded;
    writeFileSync(path, JSON.stringify(config));
    for (const init of [weights, relative('.', weights), join(weights, '.')])
      expect(await resume({ ...fresh, init })).toBe(join(run, 'checkpoints', 'step-40'));
    expect(await refusal(resume({ ...fresh, init: join(folder, 'other') }))).toMatch(
      /\(init .*weights there/,
    );
  }
});

test('a run from before there was a --predict-ratio predicted all', async () => {
  const { run, options } = await makeRun();
  const path = join(run, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  delete config.options['predict-ratio'];
  writeFileSync(path, JSON.stringify(config));
  expect(await resume(options)).toBe(join(run, 'checkpoints', 'step-40'));
  const message = await refusal(resume({ ...options, predictRatio: 0.5 }));
  expect(message).toContain('predict-ratio 1 there, 0.5 here');
});

test('--exif-rotation is on in a new run, and as it was in one that goes on', async () => {
  const { run, options } = await makeRun();
  const { exifRotation: _, ...silent } = options;
  const resolved = async (given: Partial<PretrainOptions>) => (await resolveExifRotation(given)).exifRotation;
  expect(await resolved({ outputDir: join(run, 'none') })).toBe(true);
  expect(await resolved({ outputDir: join(run, 'none'), exifRotation: false })).toBe(false);
  expect(await resolved(silent)).toBe(true);
  await writeRunConfig(run, describeWith({ ...options, exifRotation: false }));
  expect(await resolved(silent)).toBe(false);
  expect(await resolved({ ...silent, outputDir: join(run, 'none'), resume: run })).toBe(false);
  // before there was the flag nothing was turned
  await writeRunConfig(run, describeWith(silent as PretrainOptions));
  expect(await resolved(silent)).toBe(false);
  expect(await resume({ ...options, exifRotation: false })).toBe(join(run, 'checkpoints', 'step-40'));
  expect(await refusal(resume(options))).toContain('exif-rotation false there, true here');
});

test('another model is another run, by the sizes that differ', async () => {
  const { options } = await makeRun();
  const model = { ...tinyModel, depth: 2, inputSize: 32 };
  const message = await refusal(resume(options, { model }));
  expect(message).toContain('model inputSize 16 there, 32 here; model depth 1 there, 2 here');
  // whose weights do not fit
  expect(message).not.toContain('--init');
});

test('another folder of images is another run', async () => {
  const { options } = await makeRun();
  const dataset = { images: 301, fingerprint: 'fedcba9876543210' };
  const message = await refusal(resume(options, { dataset }));
  expect(message).toContain('images 300 there, 301 here; file names 01234567 there, fedcba98 here');
});

test('--resume never refuses a directory with checkpoints and takes one without', async () => {
  const { run, options } = await makeRun();
  expect(await refusal(resume({ ...options, resume: 'never' }))).toMatch(
    `--resume never: expected an --output-dir without a run, got ${run} at step 40`,
  );
  const empty = await makeRun([]);
  expect(await resume({ ...empty.options, resume: 'never' })).toBeUndefined();
});

test('a directory of something else is refused', async () => {
  const { run, options } = await makeRun();
  const config = join(run, 'config.json');
  for (const text of ['{"name": "a web server"}', '[]', '{ torn']) {
    writeFileSync(config, text);
    expect(await refusal(resume(options)), text).toContain(`${config}: expected the config.json of a run`);
  }
});

test('a torn config.json costs no run: --resume goes on without it, and says so', async () => {
  const { run, options } = await makeRun();
  writeFileSync(join(run, 'config.json'), '{ torn');
  expect(await refusal(resume(options))).toContain(`--resume ${run} to go on with it unchecked`);
  const notes: string[] = [];
  const named = resume({ ...options, resume: run }, {}, (line) => notes.push(line));
  expect(await named).toBe(join(run, 'checkpoints', 'step-40'));
  expect(notes).toContain(`${run}/config.json is torn: whether that run has the same options is not known`);
});

test('checkpoints without a config.json are refused', async () => {
  const { run, options } = await makeRun();
  const other = join(temporaryFolder(), 'other');
  mkdirSync(other);
  const { cpSync } = await import('node:fs');
  cpSync(join(run, 'checkpoints'), join(other, 'checkpoints'), { recursive: true });
  expect(await refusal(resume({ ...options, outputDir: other }))).toContain('no config.json');
  const named = resume({ ...options, outputDir: other, resume: other });
  expect(await named).toBe(join(other, 'checkpoints', 'step-40'));
});

test('a run that never took a step leaves its directory to the next one', async () => {
  const { run, options } = await makeRun([]);
  const other = { ...options, batchSize: 2 };
  const log = new JsonLog(join(run, 'log.jsonl'));
  await log.started(startOf(0, 1));
  expect(await resume(other)).toBeUndefined();
  log.stepped(stepOf(1));
  expect(await refusal(resume(other))).toContain('batch-size 64 there, 2 here');
  expect(await resume(options)).toBeUndefined();
});

test('a checkpoint is resumed by its path, if it is of such a run', async () => {
  const { run } = await makeRun();
  const outputDir = join(temporaryFolder(), 'fresh');
  const options = optionsOf({ outputDir, clipGrad: 1, resume: join(run, 'checkpoints', 'step-20') });
  expect(await resume(options)).toBe(join(run, 'checkpoints', 'step-20'));
  expect(await resume({ ...options, resume: run })).toBe(join(run, 'checkpoints', 'step-40'));
  const other = await refusal(resume({ ...options, seed: 5 }));
  expect(other).toContain('seed 0 there, 5 here');
  expect(other).toContain(`--init ${options.resume} --output-dir ${outputDir}-2 --resume auto`);

  const alone = join(temporaryFolder(), 'weights.safetensors');
  writeFileSync(alone, '');
  expect(await refusal(resume({ ...options, resume: alone }))).toContain('use --init');
});
