import type { MicrosoftOp } from '../../graph/op.js';
import { notDifferentiable, type Rules } from '../rule.js';

/** They work on gradients and parameters in place: nothing flows through them. */
export const microsoftRules: Rules<MicrosoftOp> = {
  AdamWOptimizer: notDifferentiable,
  InPlaceAccumulatorV2: notDifferentiable,
};
