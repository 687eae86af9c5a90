export interface AdamWOptions {
  readonly kind?: 'adamw';
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** β of the paper's pretraining recipe, ε of PyTorch's AdamW. */
export const adamWDefaults: AdamWOptions = { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 };

/** Scalars the host computes for each step of `adamWGraph`. */
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
