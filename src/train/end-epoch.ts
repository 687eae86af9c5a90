import type { TrainLoader } from '../data/loader.js';
import type { BatchFeed } from './batch-feed.js';
import type { Tell } from './observer.js';
import type { PretrainOptions } from './options.js';
import type { Plan } from './plan.js';
import { meanLoss, type Position } from './position.js';
import type { Validation } from './validate.js';

export interface EndedEpoch {
  readonly options: PretrainOptions;
  readonly plan: Plan;
  readonly loader: TrainLoader;
  readonly feed: BatchFeed;
  readonly validation: Validation;
}

/** Leaves out the batches that make no whole step, and validates. Returns the start of the next epoch. */
export async function endEpoch(
  position: Position,
  { options, plan, loader, feed, validation }: EndedEpoch,
  tell: Tell,
): Promise<Position> {
  const { epoch, step } = position;
  await tell('epochEnded', { epoch, step, loss: meanLoss(position) });
  const leftOver = loader.batchesPerEpoch - plan.stepsPerEpoch * options.accumIter;
  for (let i = 0; i < leftOver; i++) (await feed.next()).release();
  const result = await validation.run();
  if (result !== undefined) await tell('validated', { epoch, step, ...result });
  return { ...position, epoch: epoch + 1, stepInEpoch: 0, epochLossSum: 0, skippedInEpoch: 0 };
}
