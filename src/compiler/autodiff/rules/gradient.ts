import type { GradientOp } from '../../graph/op.js';
import { notDifferentiable, type Rules } from '../rule.js';

/** First derivatives only. */
export const gradientRules: Rules<GradientOp> = {
  GeluGrad: notDifferentiable,
  SoftmaxGrad: notDifferentiable,
  LayerNormalizationGrad: notDifferentiable,
  AttentionGrad: notDifferentiable,
};
