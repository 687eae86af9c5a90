import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalModelFile, type Manifest } from '../artifact/manifest.js';
import { type Batch, type SkippedImage, TrainLoader } from '../data/loader.js';
import type { ImageFolder } from '../data/sources/image-folder.js';
import { imageSize } from '../model/config.js';
import { learningRate } from '../model/optim/schedule.js';
import type { Runtime } from '../runtime/runtime.js';
import { UserError } from '../util/errors.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { loadInitialWeights } from '../weights/foreign/weights.js';
import { type BadStep, BadSteps } from './bad-steps.js';
import { BatchFeed } from './batch-feed.js';
import { loadCheckpoint, type RunState, startOfRun } from './checkpointing.js';
import type { Compute } from './engine/compute.js';
import { Evaluator } from './engine/evaluator.js';
import { ModelState, sliceOf } from './engine/model-state.js';
import { Trainer } from './engine/trainer.js';
import { firstLossScale } from './loss-scale.js';
import { Meter } from './meter.js';
import { RunLog, type TrainLine, trimLog } from './observers/jsonl.js';
import type { PretrainOptions } from './options.js';
import type { Plan } from './plan.js';
import { RunCheckpoints } from './run-checkpoints.js';
import { takeStep } from './step.js';
import { validate } from './validate.js';

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
  /** Something to know of the weights that the run starts from, or of a step that went wrong. */
  note(line: string): void;
}

export interface PretrainResult {
  readonly step: number;
  /** Mean loss of the first and of the last epoch that this process finished or began. */
  readonly firstLoss: number;
  readonly lastLoss: number;
  /** Folder of the last step's checkpoint; undefined where it was not saved, for the step was a bad one. */
  readonly checkpoint: string | undefined;
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
  const isScaled = inputs.compute.graphPrecision === 'fp16';
  position = { ...position, lossScale: isScaled ? (position.lossScale ?? firstLossScale) : undefined };
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
  const feed = new BatchFeed(loader, trainer, meter);
  const epochLosses: number[] = [];
  const checkpoints = new RunCheckpoints(options.outputDir, options.keep, inputs.resumeFrom, position.step);
  const badSteps = new BadSteps(options.outputDir, options.maxBadSteps);

  const save = async () => {
    if (badSteps.inRow > 0) return; // the weights may be to blame
    trainer.download();
    const checkpoint = await checkpoints.save(state, position);
    if (checkpoint !== undefined) log.checkpoint({ step: position.step, path: checkpoint });
    else observer.note(`step ${position.step} is not saved: its weights are not finite`);
  };
  /** A step that the optimizer did not take. */
  const reportSkipped = async (step: BadStep, reason: 'overflow' | 'bad', batches: readonly Batch[]) => {
    const scale = step.lossScale === undefined ? {} : { loss_scale: step.lossScale };
    let images: string | undefined;
    if (reason === 'bad')
      images = await badSteps.add(
        step,
        batches.flatMap((batch) => loader.pathsOf(batch)),
      );
    log.skippedStep({
      step: step.step,
      epoch: position.epoch,
      reason,
      loss: String(step.loss),
      grad_norm: String(step.gradientNorm),
      ...scale,
      ...(images !== undefined && { images }),
    });
    observer.note(
      reason === 'overflow'
        ? `step ${step.step} skipped: gradients overflow, loss scale now ${position.lossScale?.scale}`
        : `step ${step.step} skipped: loss ${step.loss}, gradient norm ${step.gradientNorm}; its images are in ${images}`,
    );
    if (badSteps.isTooMany) throw badSteps.error(await checkpoints.fallBack());
  };
  const nextBatch = async (): Promise<Batch> => {
    const batch = await feed.next();
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
      const lr = learningRate(position.step, plan.schedule);
      const taken = await takeStep({ trainer, feed, nextBatch }, position, { ...options, lr });
      const { loss, gradientNorm, lossScale, outcome, batches } = taken;
      position = taken.position;

      const epoch = position.epoch;
      const isLogged = position.step % options.logEvery === 0 || position.step === plan.totalSteps;
      const line: TrainLine = {
        step: position.step,
        epoch,
        loss,
        lr,
        grad_norm: gradientNorm,
        ...(lossScale !== undefined && { loss_scale: lossScale }),
        ...meter.read(plan.effectiveBatchSize, isLogged),
        skipped_images: position.skippedImages,
      };
      if (outcome !== 'bad') {
        badSteps.end();
        await checkpoints.confirm();
      }
      if (outcome === 'good') {
        if (isLogged) log.train(line);
        observer.stepped(line, isLogged);
      } else {
        const { step } = position;
        await reportSkipped({ step, loss, gradientNorm, lossScale }, outcome, batches);
      }

      // once in a while: end the epoch, validate, save
      const isEpochEnd = position.stepInEpoch === plan.stepsPerEpoch;
      if (isEpochEnd) {
        const mean = meanLoss(position);
        epochLosses.push(mean);
        log.epoch({ epoch, step: position.step, loss: mean });
        observer.epochEnded(epoch, mean);
        const leftOver = loader.batchesPerEpoch - plan.stepsPerEpoch * options.accumIter;
        for (let i = 0; i < leftOver; i++) (await nextBatch()).release();
        position = { ...position, epoch: epoch + 1, stepInEpoch: 0, epochLossSum: 0, skippedInEpoch: 0 };
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
    if (checkpoints.savedAt !== position.step) await save();
    if (position.step === plan.totalSteps) {
      if (badSteps.inRow > 0) throw badSteps.error(await checkpoints.fallBack());
      if (checkpoints.savedAt !== position.step) {
        throw new UserError(
          'training: expected finite weights at the end; start again with a lower --lr or --clip-grad 1',
        );
      }
      await checkpoints.finish();
    }
  } finally {
    await loader.close();
    evaluator?.release();
    trainer.release();
  }
  if (position.stepInEpoch > 0) epochLosses.push(meanLoss(position));
  return {
    step: position.step,
    firstLoss: epochLosses[0] ?? Number.NaN,
    lastLoss: epochLosses.at(-1) ?? Number.NaN,
    checkpoint: checkpoints.savedAt === position.step ? checkpoints.latest : undefined,
  };
}

/** Over the steps of this epoch that the optimizer took. */
function meanLoss({ epochLossSum, stepInEpoch, skippedInEpoch }: RunState): number {
  return epochLossSum / (stepInEpoch - skippedInEpoch);
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
