import type { Batch } from '../data/loader.js';
import type { BatchFeed } from './batch-feed.js';
import type { Trainer } from './engine/trainer.js';
import { afterGoodStep, afterOverflow, judgeStep, type StepOutcome } from './loss-scale.js';
import type { TrainOptions } from './options.js';
import type { Position } from './position.js';

export interface StepOptions extends Pick<TrainOptions, 'accumIter' | 'weightDecay' | 'clipGrad'> {
  readonly lr: number;
}

export interface StepResult {
  readonly loss: number;
  readonly gradientNorm: number;
  /** The loss scale of this step; the position has that of the next. */
  readonly lossScale: number | undefined;
  /** The optimizer runs after a good one only. */
  readonly outcome: StepOutcome;
  /** Already released: only their names may be read. */
  readonly batches: readonly Batch[];
  /** After the step. */
  readonly position: Position;
}

/** Gradients of accumIter micro-batches, then AdamW unless the loss or the gradient is no number. */
export async function takeStep(
  trainer: Trainer,
  feed: BatchFeed,
  position: Position,
  { accumIter, lr, weightDecay, clipGrad }: StepOptions,
): Promise<StepResult> {
  const { lossScale } = position;
  trainer.lossScale = lossScale?.scale ?? 1;
  const batches: Batch[] = [];
  let ownLoss = 0;
  let { skippedImages } = position;
  for (let i = 0; i < accumIter; i++) {
    const batch = await feed.next();
    skippedImages += batch.skipped.length;
    ownLoss += (await feed.forwardBackward(batch, i, accumIter)) / accumIter;
    batch.release();
    batches.push(batch);
  }
  const { loss, gradientNorm } = await trainer.reduce(ownLoss);
  const outcome = judgeStep(loss, gradientNorm, lossScale);
  const isGood = outcome === 'good';
  if (isGood) {
    // AdamW corrects its moments for the steps that it took
    const taken = position.step - position.skippedSteps;
    await trainer.update(taken + 1, { learningRate: lr, weightDecay, clipGrad });
  }
  const next = isGood ? afterGoodStep : afterOverflow;
  return {
    loss,
    gradientNorm,
    lossScale: lossScale?.scale,
    outcome,
    batches,
    position: {
      ...position,
      step: position.step + 1,
      stepInEpoch: position.stepInEpoch + 1,
      epochLossSum: position.epochLossSum + (isGood ? loss : 0),
      skippedImages,
      skippedSteps: position.skippedSteps + Number(!isGood),
      skippedInEpoch: position.skippedInEpoch + Number(!isGood),
      ...(lossScale !== undefined && outcome !== 'bad' && { lossScale: next(lossScale) }),
    },
  };
}
