import { createNode, type Graph, input, type Value } from '../../compiler/graph/graph.js';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** β of the paper's pretraining recipe, ε of PyTorch's AdamW. */
export const adamWDefaults: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };

/** Scalars the host computes for each step. */
export interface AdamWScalars {
  /** 1 − learning rate · weight decay (1 where no decay applies). */
  decay: number;
  /** learning rate / (1 − β₁ᵗ) */
  stepSize: number;
  /** 1 / √(1 − β₂ᵗ) */
  secondMomentScale: number;
  /** (1 − β₁)·c and (1 − β₂)·c², with c the factor by which clipping, or a scaled loss, wants the gradient. */
  firstMomentShare: number;
  secondMomentShare: number;
}

export const adamWScalarNames = {
  decay: 'decay',
  stepSize: 'step_size',
  secondMomentScale: 'second_moment_scale',
  firstMomentShare: 'first_moment_share',
  secondMomentShare: 'second_moment_share',
} as const satisfies Record<keyof AdamWScalars, string>;

/**
 * One step of AdamW (Loshchilov & Hutter, 2019; PyTorch's form) on a chunk of the flat arenas:
 *
 *   m ← β₁m + (1 − β₁)g      v ← β₂v + (1 − β₂)g²
 *   p ← (1 − lr·λ)p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 *
 * param, grad, exp_avg, exp_avg_sq: float32 [chunk]; the outputs may be bound to the memory of the inputs they
 * replace, for every operator that writes one is the last to read it.
 */
export function adamWGraph(chunk: number, options: AdamWOptions = adamWDefaults): Graph {
  const vector = (name: string) => input(name, 'float32', [chunk]);
  const scalar = (name: string) => input(name, 'float32', []);
  const [p, g, m, v] = [vector('param'), vector('grad'), vector('exp_avg'), vector('exp_avg_sq')];
  const scalars = Object.values(adamWScalarNames).map(scalar);
  const inputs = [p, g, m, v, ...scalars];
  const [nextP, nextM, nextV] = createNode('AdamW', inputs, { ...options }, [p, m, v]) as [
    Value,
    Value,
    Value,
  ];
  return {
    name: 'optimizer_model',
    inputs,
    outputs: [
      { name: 'param_out', value: nextP },
      { name: 'exp_avg_out', value: nextM },
      { name: 'exp_avg_sq_out', value: nextV },
    ],
  };
}

/** The scalars of step t (1 for the first), for a gradient that is to be multiplied by `gradientScale`. */
export function adamWScalars(
  step: number,
  learningRate: number,
  weightDecay: number,
  gradientScale: number,
  options: AdamWOptions = adamWDefaults,
): AdamWScalars {
  return {
    decay: 1 - learningRate * weightDecay,
    stepSize: learningRate / (1 - options.beta1 ** step),
    secondMomentScale: 1 / Math.sqrt(1 - options.beta2 ** step),
    firstMomentShare: (1 - options.beta1) * gradientScale,
    secondMomentShare: (1 - options.beta2) * gradientScale ** 2,
  };
}
