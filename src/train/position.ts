import { UserError } from '../util/errors.js';
import type { State } from '../weights/checkpoint/state.js';
import { isLossScale, type LossScale } from './loss-scale.js';

/** Where a run is, beside its tensors. */
export interface Position extends State {
  /** Optimizer steps taken. */
  readonly step: number;
  readonly epoch: number;
  /** Steps taken in this epoch, and the sum of their losses. */
  readonly stepInEpoch: number;
  readonly epochLossSum: number;
  /** Unreadable images met so far. */
  readonly skippedImages: number;
  /** Steps without a finite gradient, in which the optimizer did not run: in all, and in this epoch. */
  readonly skippedSteps: number;
  readonly skippedInEpoch: number;
  /** Of a run in float16. */
  readonly lossScale?: LossScale | undefined;
}

export const startOfRun: Position = {
  step: 0,
  epoch: 0,
  stepInEpoch: 0,
  epochLossSum: 0,
  skippedImages: 0,
  skippedSteps: 0,
  skippedInEpoch: 0,
};

/** What checkpoints from before a field was there mean by its absence. */
const earlierFields = { skippedSteps: 0, skippedInEpoch: 0 };

/** A position that was read from the file at `path`; a UserError where a field is not what it should be. */
export function checkedPosition(state: State, path: string): Position {
  // fields in one order, so that a resumed run writes the bytes of one that was left alone
  const saved: State = { ...earlierFields, ...state };
  const check = (isRight: boolean, what: string) => {
    if (!isRight)
      throw new UserError(`checkpoint: expected ${what} in ${path}; resume from another checkpoint`);
  };
  for (const field of Object.keys(startOfRun)) {
    check(typeof saved[field] === 'number', `a number "${field}"`);
  }
  const { lossScale } = saved;
  check(lossScale === undefined || isLossScale(lossScale), 'a loss scale and its good steps "lossScale"');
  return { ...startOfRun, ...saved } as Position;
}

/** The mean loss over the steps of this epoch that the optimizer took. */
export function meanLoss({ epochLossSum, stepInEpoch, skippedInEpoch }: Position): number {
  return epochLossSum / (stepInEpoch - skippedInEpoch);
}
