export interface LarsOptions {
  readonly kind: 'lars';
  readonly momentum: number;
  /** Length of a step over that of the parameter, for a learning rate of 1. */
  readonly trustCoefficient: number;
}

/** Those of MAE's linear probe. */
export const larsDefaults: LarsOptions = { kind: 'lars', momentum: 0.9, trustCoefficient: 0.001 };

/** Scalars that the host sets for each step of `larsGraph`. */
export const larsScalarNames = {
  learningRate: 'learning_rate',
  weightDecay: 'weight_decay',
  gradientScale: 'gradient_scale',
} as const;

/** Inputs and outputs of `larsGraph`: a parameter's momentum, and what a parameter or a momentum is after the step. */
export const momentumName = (parameter: string) => `momentum_buffer.${parameter}`;
export const updatedName = (input: string) => `${input}_out`;
