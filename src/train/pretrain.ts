import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalModelFile, type Manifest } from '../artifact/manifest.js';
import { runPaths } from '../checkpoint/run-directory.js';
import type { ImageFolder } from '../data/image-folder.js';
import { type Batch, type SkippedImage, TrainLoader } from '../data/loader.js';
import { imageSize } from '../model/config.js';
import { learningRate } from '../optim/schedule.js';
import type { Runtime } from '../runtime/runtime.js';
import { UserError } from '../util/errors.js';
import { loadCheckpoint, type RunState, saveCheckpoint, startOfRun } from './checkpointing.js';
import { Evaluator } from './evaluator.js';
import { ModelState, sliceOf } from './model-state.js';
import type { PretrainOptions } from './options.js';
import type { Plan } from './plan.js';
import type { Compute } from './precision.js';
import { RunLog, type TrainLine, trimLog } from './run-log.js';
import { Trainer } from './trainer.js';
import { validate } from './validate.js';
import { loadInitialWeights } from './weights.js';

/** What a run needs that is made before it starts. */
export interface PretrainInputs {
  readonly options: PretrainOptions;
  readonly plan: Plan;
  readonly manifest: Manifest;
  /** The folder of the artefacts. */
  readonly artifacts: string;
  readonly compute: Compute;
  readonly runtime: Runtime;
  readonly trainImages: ImageFolder;
  readonly validationImages?: ImageFolder | undefined;
  /** The checkpoint folder to go on from. */
  readonly resumeFrom?: string | undefined;
}

/** What a person sees of a run while it goes on. */
export interface PretrainObserver {
  started(step: number, totalSteps: number): void;
  stepped(line: TrainLine, isLogged: boolean): void;
  epochEnded(epoch: number, loss: number): void;
  validated(epoch: number, loss: number): void;
  skipped(image: SkippedImage): void;
  /** Something to know of the weights that the run starts from. */
  note(line: string): void;
}

export interface PretrainResult {
  readonly step: number;
  /** Mean loss of the first and of the last epoch that this process finished or began. */
  readonly firstLoss: number;
  readonly lastLoss: number;
  readonly checkpoint: string;
}

/** Trains to the end of the plan, or until `shouldStop` says so after a step; saves before it returns. */
export async function pretrain(
  inputs: PretrainInputs,
  observer: PretrainObserver,
  shouldStop: () => boolean,
): Promise<PretrainResult> {
  const { options, plan, manifest, runtime, validationImages } = inputs;
  const paths = runPaths(options.outputDir);
  const state = new ModelState(manifest);
  let position = await startState(inputs, state, observer);
  await trimLog(paths.log, position.step);
  const log = new RunLog(paths.log);
  log.start({
    step: position.step,
    total_steps: plan.totalSteps,
    resumed_from: inputs.resumeFrom ?? null,
    device: runtime.device.description,
    compute: inputs.compute.description,
  });

  const trainer = new Trainer(runtime, inputs.artifacts, state);
  let evaluator: Evaluator | undefined;
  const loader = new TrainLoader({
    folder: inputs.trainImages,
    batchSize: manifest.batchSize,
    ...imageSize(manifest.model),
    patchCount: manifest.patches,
    seed: options.seed,
    numWorkers: options.numWorkers,
    startEpoch: position.epoch,
    startBatch: position.stepInEpoch * options.accumIter,
  });
  const reported = new Set<string>();
  const meter = new Meter();
  const epochLosses: number[] = [];
  let savedAt = inputs.resumeFrom === undefined ? -1 : position.step;
  let checkpoint = inputs.resumeFrom ?? '';

  const save = async () => {
    trainer.download();
    checkpoint = await saveCheckpoint(options.outputDir, state, position, options.keep);
    savedAt = position.step;
    log.checkpoint({ step: position.step, path: checkpoint });
  };
  const nextBatch = async (): Promise<Batch> => {
    const batch = await meter.waiting(loader.next());
    for (const image of batch.skipped) {
      if (reported.has(image.path)) continue;
      reported.add(image.path);
      log.skipped({ step: position.step, ...image });
      observer.skipped(image);
    }
    return batch;
  };

  observer.started(position.step, plan.totalSteps);
  try {
    while (position.step < plan.totalSteps && !shouldStop()) {
      // ---- one step: gradients of accumIter micro-batches, then AdamW ----
      const lr = learningRate(position.step, plan.schedule);
      let loss = 0;
      let skippedImages = position.skippedImages;
      for (let i = 0; i < options.accumIter; i++) {
        const batch = await nextBatch();
        skippedImages += batch.skipped.length;
        const microLoss = await trainer.forwardBackward(batch, i, options.accumIter);
        batch.release();
        loss += microLoss / options.accumIter;
      }
      if (!Number.isFinite(loss) || !Number.isFinite(trainer.gradientNorm)) {
        throw new UserError(
          `training: the loss became ${loss} (gradient norm ${trainer.gradientNorm}) at step ${position.step + 1}; ` +
            'the last checkpoint is kept: lower --lr, or set --clip-grad 1, and resume',
        );
      }
      const { weightDecay, clipGrad } = options;
      await trainer.update(position.step + 1, { learningRate: lr, weightDecay, clipGrad });
      position = {
        ...position,
        step: position.step + 1,
        stepInEpoch: position.stepInEpoch + 1,
        epochLossSum: position.epochLossSum + loss,
        skippedImages,
      };
      // ---------------------------------------------------------------------

      const epoch = position.epoch;
      const isLogged = position.step % options.logEvery === 0 || position.step === plan.totalSteps;
      const line: TrainLine = {
        step: position.step,
        epoch,
        loss,
        lr,
        grad_norm: trainer.gradientNorm,
        ...meter.read(plan.effectiveBatchSize, isLogged),
        skipped_images: position.skippedImages,
      };
      if (isLogged) log.train(line);
      observer.stepped(line, isLogged);

      // once in a while: end the epoch, validate, save
      const isEpochEnd = position.stepInEpoch === plan.stepsPerEpoch;
      if (isEpochEnd) {
        const mean = position.epochLossSum / position.stepInEpoch;
        epochLosses.push(mean);
        log.epoch({ epoch, step: position.step, loss: mean });
        observer.epochEnded(epoch, mean);
        const leftOver = loader.batchesPerEpoch - plan.stepsPerEpoch * options.accumIter;
        for (let i = 0; i < leftOver; i++) (await nextBatch()).release();
        position = { ...position, epoch: epoch + 1, stepInEpoch: 0, epochLossSum: 0 };
        if (validationImages !== undefined) {
          evaluator ??= createEvaluator(inputs, trainer);
          const result = await validate(evaluator, state, validationImages, options);
          const { loss: validationLoss, images } = result;
          log.validation({
            epoch,
            step: position.step,
            loss: validationLoss,
            images,
            skipped_images: result.skippedImages,
          });
          observer.validated(epoch, validationLoss);
        }
      }
      const isSaveStep = options.saveEverySteps !== undefined && position.step % options.saveEverySteps === 0;
      if (isSaveStep || (isEpochEnd && position.epoch % options.saveEvery === 0)) await save();
      if (isEpochEnd || isSaveStep) meter.restart();
    }
    if (savedAt !== position.step) await save();
  } finally {
    await loader.close();
    evaluator?.release();
    trainer.release();
  }
  if (position.stepInEpoch > 0) epochLosses.push(position.epochLossSum / position.stepInEpoch);
  return {
    step: position.step,
    firstLoss: epochLosses[0] ?? Number.NaN,
    lastLoss: epochLosses.at(-1) ?? Number.NaN,
    checkpoint,
  };
}

/** Weights and position at the start: of a checkpoint, of other weights, or fresh. */
async function startState(
  inputs: PretrainInputs,
  state: ModelState,
  observer: PretrainObserver,
): Promise<RunState> {
  const { options, resumeFrom } = inputs;
  if (resumeFrom !== undefined) return loadCheckpoint(resumeFrom, state);
  state.initialize(options.seed);
  if (options.init === undefined) return startOfRun;
  const { parameters, notes } = await loadInitialWeights(options.init, state.manifest.model);
  for (const note of notes) observer.note(note);
  for (const parameter of state.manifest.parameters) {
    const given = parameters.get(parameter.name);
    if (given !== undefined) sliceOf(state.parameters, parameter).set(given);
  }
  return startOfRun;
}

function createEvaluator({ runtime, artifacts, manifest }: PretrainInputs, trainer: Trainer): Evaluator {
  const byName = new Map(manifest.parameters.map((parameter) => [parameter.name, parameter]));
  const model = readFileSync(join(artifacts, evalModelFile));
  return new Evaluator(runtime, model, manifest, (name) => trainer.parameter(byName.get(name)!));
}

/** Images per second, and the share of the time spent waiting for data, since the last reading that was kept. */
class Meter {
  #start = performance.now();
  #steps = 0;
  #waited = 0;

  restart(): void {
    this.#start = performance.now();
    this.#steps = 0;
    this.#waited = 0;
  }

  async waiting<T>(promise: Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await promise;
    } finally {
      this.#waited += performance.now() - start;
    }
  }

  read(imagesPerStep: number, restart: boolean): { images_per_second: number; data_wait: number } {
    this.#steps++;
    const elapsed = performance.now() - this.#start;
    const reading = {
      images_per_second: (this.#steps * imagesPerStep * 1000) / elapsed,
      data_wait: this.#waited / elapsed,
    };
    if (restart) this.restart();
    return reading;
  }
}
