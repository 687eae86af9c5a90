import type { TrainLoader } from '../data/loader.js';
import type { BatchFeed } from './batch-feed.js';
import type { Tell } from './observer.js';
import type { TrainOptions } from './options.js';
import type { Plan } from './plan.js';
import { meanLoss, type Position } from './position.js';

export interface EndedEpoch {
  readonly options: TrainOptions;
  readonly plan: Plan;
  readonly loader: TrainLoader;
  readonly feed: BatchFeed;
}

/** Leaves out the batches that make no whole step. Returns the start of the next epoch. */
export async function endEpoch(
  position: Position,
  { options, plan, loader, feed }: EndedEpoch,
  tell: Tell,
): Promise<Position> {
  const { epoch, step } = position;
  const leftOver = loader.batchesPerEpoch - plan.stepsPerEpoch * options.accumIter;
  for (let i = 0; i < leftOver; i++) (await feed.next()).release();
  await tell('epochEnded', { epoch, step, loss: meanLoss(position) });
  return { ...position, epoch: epoch + 1, stepInEpoch: 0, epochLossSum: 0, skippedInEpoch: 0 };
}
