import { TrainLoader } from '../data/loader.js';
import { learningRate } from '../model/optim/schedule.js';
import { BadSteps } from './bad-steps.js';
import { BatchFeed, OnceOfEachKind } from './batch-feed.js';
import { endEpoch } from './end-epoch.js';
import { Trainer } from './engine/trainer.js';
import { judgesOf, judgeWeights } from './judge-weights.js';
import { Meter } from './meter.js';
import type { RunResult, Tell } from './observer.js';
import { reportStep } from './report-step.js';
import type { Run } from './run.js';
import { RunCheckpoints } from './run-checkpoints.js';
import { takeStep } from './step.js';

/**
 * Trains to the end of the plan, or until `shouldStop` says so between two steps; saves before it returns, and before it
 * throws if the weights are whole.
 */
export async function train(run: Run, tell: Tell, shouldStop: () => boolean): Promise<RunResult> {
  const { options, plan, artifacts, runtime, communicator, state } = run;
  let { position } = run;
  const trainer = new Trainer(runtime, artifacts, state, communicator);
  const loader = new TrainLoader({
    source: run.trainImages,
    inputs: state.manifest.inputs,
    augmentation: run.augmentation,
    seed: options.seed,
    numWorkers: options.numWorkers,
    exifRotation: options.exifRotation,
    startEpoch: position.epoch,
    startBatch: position.stepInEpoch * options.accumIter,
  });
  const meter = new Meter();
  const notes = new OnceOfEachKind((note) => tell('imageNoted', { step: position.step, ...note }));
  const feed = new BatchFeed(
    loader,
    trainer,
    meter,
    (image) => tell('imageSkipped', { step: position.step, ...image }),
    (found) => notes.tell(found),
  );
  const badSteps = new BadSteps(options.outputDir, options.maxBadSteps);
  const checkpoints = new RunCheckpoints(run, trainer, badSteps, tell);
  const judges = judgesOf(run, trainer, shouldStop, (found) => notes.tell(found));
  try {
    await tell('started', {
      step: position.step,
      totalSteps: plan.totalSteps,
      epochs: options.epochs,
      resumedFrom: run.resumeFrom,
      device: runtime.device.description,
      compute: run.compute.description,
    });
    for (;;) {
      // once in a while: end the epoch, save, draw, validate, probe
      const isEpochEnd = position.stepInEpoch === plan.stepsPerEpoch;
      if (isEpochEnd) position = await endEpoch(position, { options, plan, loader, feed }, tell);
      const isLast = position.step >= plan.totalSteps || (await communicator.max(Number(shouldStop()))) > 0;
      const isSave = checkpoints.isDue(position, isEpochEnd);
      if (isSave || isLast) await checkpoints.save(position);
      await judgeWeights(position, judges, checkpoints, tell);
      if (isSave || position.stepInEpoch === 0) meter.restart();
      if (isLast) break;

      // ---------------------------------------------------------------------------------- one step
      const lr = learningRate(position.step, plan.schedule);
      const taken = await takeStep(trainer, feed, position, { ...options, lr });
      position = taken.position;
      // -------------------------------------------------------------------------------------------

      await reportStep({ ...taken, lr }, { options, plan, loader, meter, badSteps, checkpoints }, tell);
    }
    const checkpoint = await checkpoints.end(position);
    const result = { step: position.step, checkpoint, best: run.best?.checkpoint };
    await tell('finished', result);
    return result;
  } catch (error) {
    await checkpoints.rescue(position);
    throw error;
  } finally {
    await loader.close();
    judges.release();
    trainer.release();
  }
}
