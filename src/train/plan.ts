import { type Schedule, scaleLearningRate } from '../model/optim/schedule.js';
import { UserError } from '../util/errors.js';
import type { TrainOptions } from './options.js';

/** How long a run is and how its learning rate goes, known before it starts. */
export interface Plan {
  readonly schedule: Schedule;
  readonly stepsPerEpoch: number;
  /** Steps at which the run ends. */
  readonly totalSteps: number;
  readonly effectiveBatchSize: number;
  /** Images of an epoch that make no whole step. */
  readonly leftOverImages: number;
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
  const lr = options.lr ?? scaleLearningRate(options.blr, effectiveBatchSize);
  return {
    schedule: { lr, minLr, warmupEpochs, epochs, stepsPerEpoch },
    stepsPerEpoch,
    totalSteps: Math.min(epochs * stepsPerEpoch, maxSteps ?? Number.POSITIVE_INFINITY),
    effectiveBatchSize,
    leftOverImages: imageCount - stepsPerEpoch * effectiveBatchSize,
  };
}
