import type { FusedOp } from '../../graph/op.js';
import { notDifferentiable, type Rules } from '../rule.js';

/** They come in after differentiation. */
export const fusedRules: Rules<FusedOp> = {
  FusedGemm: notDifferentiable,
  FusedLayerNormalization: notDifferentiable,
  ColumnSums: notDifferentiable,
  SumOfSquares: notDifferentiable,
  AdamW: notDifferentiable,
};
