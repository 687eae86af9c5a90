import type { Op } from '../graph/op.js';

const derivative = 'it is a derivative itself: first derivatives only';
const lowered = 'graphs get it when they are lowered, after differentiation';
const inference = 'graphs for inference alone have it';
const afterGradients = 'it works on gradients that are there already: no loss is made of it';

/** The operators that no gradient flows through, and why. All others have a rule. */
export const notDifferentiable = {
  HardSigmoid: lowered,
  Less: 'its result is true or false: evaluation counts with it',
  Where: lowered,
  ScatterND: 'it is the derivative of Gather: first derivatives only',

  GeluGrad: derivative,
  SoftmaxGrad: derivative,
  LayerNormalizationGrad: derivative,
  AttentionGrad: derivative,

  FusedGemm: lowered,
  FusedLayerNormalization: lowered,
  ColumnSums: lowered,

  Conv: inference,
  Shape: inference,
  Range: inference,
  Resize: inference,
  Sin: inference,
  Cos: inference,
  DynamicQuantizeLinear: inference,
  MatMulInteger: inference,

  SumOfSquares: afterGradients,
  AdamW: afterGradients,
  AdamWOptimizer: afterGradients,
  InPlaceAccumulatorV2: afterGradients,
} as const satisfies { readonly [K in Op]?: string };

export type NotDifferentiable = keyof typeof notDifferentiable;

export function isNotDifferentiable(op: Op): op is NotDifferentiable {
  return Object.hasOwn(notDifferentiable, op);
}
