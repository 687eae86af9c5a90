/** The loop, driven without the command line: by a second task, by observers, and by two ranks. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ArtifactOptions, buildArtifacts } from '../../src/artifact/build.js';
import { readManifest } from '../../src/artifact/read-manifest.js';
import { writeArtifacts } from '../../src/artifact/write.js';
import { type ImageFolder, indexImageFolder } from '../../src/data/sources/image-folder.js';
import type { ImageSource } from '../../src/data/sources/source.js';
import { maeTask } from '../../src/model/mae.js';
import type { Task } from '../../src/model/task.js';
import { alone, type Communicator } from '../../src/runtime/comm/communicator.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { ModelState, sliceOf } from '../../src/train/engine/model-state.js';
import { train } from '../../src/train/loop.js';
import { type RunEvents, type RunObserver, tellAll } from '../../src/train/observer.js';
import type { PretrainOptions } from '../../src/train/options.js';
import { planRun } from '../../src/train/plan.js';
import { startPosition } from '../../src/train/start.js';
import { UserError } from '../../src/util/errors.js';
import { classifierTask } from '../support/classifier.js';
import '../support/allclose.js';
import { fileFolder, savedSteps, tinyModel } from '../support/cli-files.js';
import { optionsOf, temporaryFolder } from './support.js';

const folder = fileFolder();
const colours = { blue: [40, 60, 200], green: [50, 190, 70], red: [210, 60, 50] } as const;
const classes = Object.keys(colours).length;
let images: ImageFolder;
let runtime: Runtime;

beforeAll(async () => {
  runtime = new Runtime({ threads: 1 });
  for (const [name, [r, g, b]] of Object.entries(colours)) {
    mkdirSync(join(folder, name));
    for (let i = 0; i < 8; i++) {
      const background = { r: r + 5 * i, g: g + 3 * i, b: b - 4 * i };
      const picture = sharp({ create: { width: 24, height: 20, channels: 3, background } });
      await picture.png().toFile(join(folder, name, `${i}.png`));
    }
  }
  images = await indexImageFolder(folder);
});
afterAll(() => runtime.release());

interface Settings {
  readonly task: Task;
  readonly options: Partial<PretrainOptions>;
  readonly observers?: readonly RunObserver[];
  readonly communicator?: Communicator;
  readonly resumeFrom?: string;
  readonly stopAt?: number;
  readonly validationImages?: ImageSource;
  readonly validatedEpochs?: number;
  readonly artifactOptions?: Pick<ArtifactOptions, 'optimizer' | 'emaDecay'>;
}

/** A run from its artefacts to its result; the state has its last weights. */
async function run({
  task,
  options: given,
  observers = [],
  communicator = alone,
  resumeFrom,
  stopAt,
  validationImages = images,
  validatedEpochs = 0,
  artifactOptions,
}: Settings) {
  const options = optionsOf({ batchSize: 8, numWorkers: 0, warmupEpochs: 0, lr: 3e-3, ...given });
  const artifacts = temporaryFolder();
  const { batchSize, accumIter } = options;
  writeArtifacts(
    buildArtifacts(task, { batchSize, accumulate: accumIter > 1, ...artifactOptions }),
    artifacts,
  );
  const state = new ModelState(readManifest(artifacts));
  const position = await startPosition(state, options.seed, resumeFrom);
  let step = position.step;
  const counter: RunObserver = {
    stepped(event) {
      step = event.step;
    },
  };
  const result = await train(
    {
      options,
      plan: planRun(options, images.length),
      artifacts,
      compute: { tf32: false, description: 'float32' },
      runtime,
      communicator,
      trainImages: images,
      validationImages,
      validatedEpochs,
      probedEpochs: 0,
      resumeFrom,
      state,
      position,
    },
    tellAll([counter, ...observers]),
    () => step === stopAt,
  );
  return { ...result, state, options };
}

/** What an observer is told, in its order. */
function recorder() {
  const events: { name: keyof RunEvents; data: unknown }[] = [];
  const watch = <E extends keyof RunEvents>(name: E) => ({
    [name]: (data: RunEvents[E]) => void events.push({ name, data }),
  });
  const names = [
    'started',
    'stepped',
    'epochEnded',
    'checkpointSaved',
    'validated',
    'validationFailed',
    'finished',
    'failed',
  ] as const;
  const observer = Object.assign({}, ...names.map(watch)) as RunObserver;
  const of = <E extends keyof RunEvents>(name: E) =>
    events.filter((event) => event.name === name).map(({ data }) => data as RunEvents[E]);
  return { observer, events, of };
}

describe('a classifier, which the trainer, the ring and the loop know from the manifest alone', () => {
  const task = classifierTask(tinyModel, classes);

  test('learns the classes of a folder', async () => {
    const { observer, of } = recorder();
    const { checkpoint } = await run({
      task,
      options: { outputDir: temporaryFolder(), epochs: 30 },
      observers: [observer],
    });
    const losses = of('validated').map(({ loss }) => loss);
    // as good as a guess at first: the head starts at almost nothing
    expect(of('stepped')[0]!.loss).toBeGreaterThan(0.9 * Math.log(classes));
    expect(of('stepped')[0]!.loss).toBeLessThan(1.1 * Math.log(classes));
    expect(losses.at(-1)).toBeLessThan(0.1);
    expect(checkpoint).toMatch(/step-90$/);
    const header = readFileSync(join(checkpoint!, 'model.safetensors')).toString('latin1', 8, 2000);
    expect(header).toContain('"task":"classifier"');
    expect(header).toContain('head.weight');
  });

  test('a run that is stopped and goes on ends with the same bytes', async () => {
    const options = { epochs: 4, saveEvery: 100 };
    const whole = await run({ task, options: { ...options, outputDir: temporaryFolder() } });
    const outputDir = temporaryFolder();
    const first = await run({ task, options: { ...options, outputDir }, stopAt: 5 });
    expect(first.step).toBe(5);
    const rest = await run({ task, options: { ...options, outputDir }, resumeFrom: first.checkpoint! });
    expect(rest.step).toBe(12);
    for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      const [a, b] = [whole, rest].map(({ checkpoint }) => readFileSync(join(checkpoint!, file)));
      expect(b!.equals(a!), file).toBe(true);
    }
  });
});

test('observers are told what happens, in order and as data', async () => {
  const { observer, events, of } = recorder();
  const outputDir = temporaryFolder();
  const task = maeTask(tinyModel, { maskRatio: 0.75, normPixLoss: true });
  await run({ task, options: { outputDir, epochs: 2, logEvery: 2 }, observers: [observer] });
  const epoch = ['stepped', 'stepped', 'stepped', 'epochEnded', 'checkpointSaved', 'validated'];
  expect(events.map(({ name }) => name)).toEqual(['started', ...epoch, ...epoch, 'finished']);
  expect(of('started')).toMatchObject([{ step: 0, totalSteps: 6, epochs: 2, resumedFrom: undefined }]);
  expect(of('stepped').map(({ isLogged }) => isLogged)).toEqual([false, true, false, true, false, true]);
  const mean = of('stepped')
    .slice(0, 3)
    .reduce((sum, { loss }) => sum + loss / 3, 0);
  expect([of('epochEnded')[0]!.loss]).toBeAllclose([mean], { rtol: 1e-12 });
  expect(of('validated')[1]).toMatchObject({ epoch: 1, step: 6, images: images.length, skippedImages: 0 });
  const last = join(outputDir, 'checkpoints', 'step-6');
  expect(of('finished')).toEqual([{ step: 6, checkpoint: last }]);
});

test('a last epoch that is a part of one is validated at its end, and that once', async () => {
  const task = maeTask(tinyModel, { maskRatio: 0.75, normPixLoss: true });
  const options = { outputDir: temporaryFolder(), epochs: 4 / 3 };
  const { observer, of } = recorder();
  const { checkpoint } = await run({ task, options, observers: [observer] });
  expect(of('validated').map(({ epoch, step }) => [epoch, step])).toEqual([
    [0, 3],
    [1, 4],
  ]);
  expect(of('epochEnded').map(({ epoch }) => epoch)).toEqual([0]);
  const again = recorder();
  await run({ task, options, resumeFrom: checkpoint!, validatedEpochs: 2, observers: [again.observer] });
  expect(again.of('validated')).toEqual([]);
  // --max-steps ends no epoch: a run with more of them goes on in it
  const shorter = recorder();
  const capped = { outputDir: temporaryFolder(), epochs: 2, maxSteps: 4 };
  await run({ task, options: capped, observers: [shorter.observer] });
  expect(shorter.of('validated').map(({ step }) => step)).toEqual([3]);
});

describe('nothing is lost', () => {
  const task = maeTask(tinyModel, { maskRatio: 0.75, normPixLoss: true });

  test('validation that fails is told after the save, and the run goes on', async () => {
    const texts = temporaryFolder();
    for (let i = 0; i < 3; i++) writeFileSync(join(texts, `${i}.png`), 'text');
    const { observer, events, of } = recorder();
    const outputDir = temporaryFolder();
    const { step } = await run({
      task,
      options: { outputDir, epochs: 2 },
      observers: [observer],
      validationImages: await indexImageFolder(texts),
    });
    expect(step).toBe(6);
    expect(of('validationFailed').map(({ epoch }) => epoch)).toEqual([0, 1]);
    expect(of('validationFailed')[0]!.reason).toContain('unreadable images');
    const names = events.map(({ name }) => name);
    expect(names.indexOf('checkpointSaved')).toBeLessThan(names.indexOf('validationFailed'));
    expect(savedSteps(outputDir)).toEqual([3, 6]);
  });

  test('an epoch that was saved and not validated is validated by the run that goes on', async () => {
    const outputDir = temporaryFolder();
    const options = { outputDir, epochs: 2 };
    // stopped at the end of an epoch: the save is all there is time for
    const first = recorder();
    const stopped = await run({ task, options, stopAt: 3, observers: [first.observer] });
    expect(first.of('validated')).toEqual([]);
    const rest = recorder();
    await run({ task, options, resumeFrom: stopped.checkpoint!, observers: [rest.observer] });
    const whole = recorder();
    const undisturbed = { ...options, outputDir: temporaryFolder() };
    await run({ task, options: undisturbed, observers: [whole.observer] });
    expect(rest.of('validated')).toEqual(whole.of('validated'));
    // and not again where the log has it
    const again = recorder();
    const last = { resumeFrom: join(outputDir, 'checkpoints', 'step-6'), validatedEpochs: 2 };
    await run({ task, options, ...last, observers: [again.observer] });
    expect(again.of('validated')).toEqual([]);
  });

  test('an error saves the steps before it, and the run that goes on ends with the same bytes', async () => {
    const options = { epochs: 3, saveEvery: 100 };
    const whole = await run({ task, options: { ...options, outputDir: temporaryFolder() } });
    const outputDir = temporaryFolder();
    const { observer, of } = recorder();
    const failing: RunObserver = {
      stepped({ step }) {
        if (step === 5) throw new UserError('log: the disk is full');
      },
    };
    const settings = { task, options: { ...options, outputDir } };
    await expect(run({ ...settings, observers: [failing, observer] })).rejects.toThrow('the disk is full');
    const saved = join(outputDir, 'checkpoints', 'step-5');
    expect(of('failed')).toEqual([{ step: 5, checkpoint: saved }]);
    const rest = await run({ ...settings, resumeFrom: saved });
    for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      const [a, b] = [whole, rest].map(({ checkpoint }) => readFileSync(join(checkpoint!, file)));
      expect(b!.equals(a!), file).toBe(true);
    }
  });
});

test('running statistics and a moving average go on in a resumed run, byte for byte', async () => {
  const settings = {
    task: classifierTask(tinyModel, classes, { batchNorm: true }),
    options: { batchSize: 4, accumIter: 2, epochs: 3 },
    artifactOptions: { emaDecay: 0.9, optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } },
  };
  const into = (outputDir: string) => ({ ...settings, options: { ...settings.options, outputDir } });
  const whole = await run(into(temporaryFolder()));
  const stopped = await run({ ...into(temporaryFolder()), stopAt: 4 });
  const rest = await run({ ...into(temporaryFolder()), resumeFrom: stopped.checkpoint! });
  for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
    const [a, b] = [whole, rest].map(({ checkpoint }) => readFileSync(join(checkpoint!, file)));
    expect(b!.equals(a!), file).toBe(true);
  }
  const { state } = whole;
  for (const name of ['head_norm.running_mean', 'head_norm.running_var']) {
    const buffer = state.manifest.parameters.find((parameter) => parameter.name === name)!;
    const start = name.endsWith('mean') ? 0 : 1;
    expect(Math.abs(sliceOf(state.parameters, buffer)[0]! - start), name).toBeGreaterThan(1e-3);
  }
});

/** Ranks in one process that meet at each call; sums are in the order of the ranks. */
function ranksOf(size: number): Communicator[] {
  let waiting: { numbers: Float32Array | Float64Array; done(): void }[] = [];
  const meet = (
    numbers: Float32Array | Float64Array,
    rank: number,
    combine: (a: number, b: number) => number,
  ) =>
    new Promise<void>((done) => {
      waiting[rank] = { numbers, done };
      if (waiting.filter(Boolean).length < size) return;
      const all = waiting;
      waiting = [];
      const sums = Float64Array.from(numbers, (_, i) => all.map((each) => each.numbers[i]!).reduce(combine));
      for (const each of all) {
        each.numbers.set(sums);
        each.done();
      }
    });
  return Array.from({ length: size }, (_, rank) => ({
    rank,
    size,
    sum: (numbers) => meet(numbers, rank, (a, b) => a + b),
    max: async (number) => {
      const numbers = Float64Array.of(number);
      await meet(numbers, rank, (a, b) => Math.max(a, b));
      return numbers[0]!;
    },
    barrier: () => meet(new Float64Array(1), rank, (a, b) => a + b),
  }));
}

test('ranks that see the same batches take the steps of one, by the norm of the summed gradient', async () => {
  const task = maeTask(tinyModel, { maskRatio: 0.75, normPixLoss: true });
  const options = { epochs: 2, clipGrad: 0.5 };
  const single = recorder();
  const one = await run({
    task,
    options: { ...options, outputDir: temporaryFolder() },
    observers: [single.observer],
  });
  const recorders = [recorder(), recorder()];
  const results = await Promise.all(
    ranksOf(2).map((communicator, rank) =>
      run({
        task,
        options: { ...options, outputDir: temporaryFolder() },
        communicator,
        observers: [recorders[rank]!.observer],
      }),
    ),
  );
  for (const [rank, { state }] of results.entries()) {
    const events = recorders[rank]!.of('stepped');
    expect(events.map(({ loss }) => loss)).toBeAllclose(
      single.of('stepped').map(({ loss }) => loss),
      { rtol: 1e-6 },
    );
    expect(events.map(({ gradientNorm }) => gradientNorm)).toBeAllclose(
      single.of('stepped').map(({ gradientNorm }) => gradientNorm),
      { rtol: 1e-5 },
    );
    for (const parameter of one.state.trained) {
      const [got, wanted] = [state, one.state].map(({ parameters }) => sliceOf(parameters, parameter));
      expect(got, parameter.name).toBeAllclose(wanted!, { rtol: 0, atol: 1e-5 });
    }
  }
  expect(results[1]!.state.parameters).toEqual(results[0]!.state.parameters);
});

test('one rank that is asked to stop stops all of them after the same step', async () => {
  const task = maeTask(tinyModel, { maskRatio: 0.75, normPixLoss: true });
  const results = await Promise.all(
    ranksOf(2).map((communicator, rank) =>
      run({
        task,
        options: { epochs: 2, outputDir: temporaryFolder() },
        communicator,
        ...(rank === 1 && { stopAt: 3 }),
      }),
    ),
  );
  expect(results.map(({ step }) => step)).toEqual([3, 3]);
});
