import { type Schedule, scaleLearningRate } from '../model/optim/schedule.js';
import { UserError } from '../util/errors.js';
import type { TrainOptions } from './options.js';
import type { Position } from './position.js';

/** How long a run is and how its learning rate goes, known before it starts. */
export interface Plan {
  readonly schedule: Schedule;
  readonly stepsPerEpoch: number;
  /** Steps of the whole schedule; the last epoch may be a part of one. */
  readonly scheduledSteps: number;
  /** Steps at which the run ends: those, or fewer where `--max-steps` says so. */
  readonly totalSteps: number;
  readonly effectiveBatchSize: number;
  /** Images of an epoch that make no whole step. */
  readonly leftOverImages: number;
}

/**
 * The epochs that a run has behind it where one has just ended; a last one that is a part of one counts. Undefined
 * elsewhere.
 */
export function endedEpochs(
  { step, epoch, stepInEpoch }: Pick<Position, 'step' | 'epoch' | 'stepInEpoch'>,
  { scheduledSteps }: Pick<Plan, 'scheduledSteps'>,
): number | undefined {
  if (stepInEpoch === 0) return epoch;
  return step === scheduledSteps ? epoch + 1 : undefined;
}

/** @param imageCount images in the folder; the last, incomplete step of an epoch is dropped. */
export function planRun(options: TrainOptions, imageCount: number): Plan {
  const { batchSize, accumIter, epochs, maxSteps, warmupEpochs, minLr } = options;
  const effectiveBatchSize = batchSize * accumIter;
  const stepsPerEpoch = Math.floor(imageCount / batchSize / accumIter);
  if (stepsPerEpoch === 0) {
    throw new UserError(
      `--batch-size: expected at most ${imageCount} images in a step, as many as the folder has, got ` +
        `${effectiveBatchSize} (${batchSize} × --accum-iter ${accumIter}); use a smaller one or more images`,
    );
  }
  if (warmupEpochs > epochs) {
    throw new UserError(`--warmup-epochs: expected at most --epochs ${epochs}, got ${warmupEpochs}`);
  }
  const scheduledSteps = Math.max(1, Math.round(epochs * stepsPerEpoch));
  const lr = options.lr ?? scaleLearningRate(options.blr, effectiveBatchSize);
  return {
    schedule: { lr, minLr, warmupEpochs, epochs, stepsPerEpoch },
    stepsPerEpoch,
    scheduledSteps,
    totalSteps: Math.min(scheduledSteps, maxSteps ?? Number.POSITIVE_INFINITY),
    effectiveBatchSize,
    leftOverImages: imageCount - stepsPerEpoch * effectiveBatchSize,
  };
}
