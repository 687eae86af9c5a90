export interface Schedule {
  /** The highest learning rate, reached at the end of warm-up. */
  readonly lr: number;
  readonly minLr: number;
  readonly warmupEpochs: number;
  readonly epochs: number;
  /** Optimizer steps in an epoch. */
  readonly stepsPerEpoch: number;
}

/** lr = blr · effective batch size / 256, the linear rule of Goyal et al., 2017. */
export function scaleLearningRate(blr: number, effectiveBatchSize: number): number {
  return (blr * effectiveBatchSize) / 256;
}

/**
 * The learning rate of a step (0 for the first): a linear warm-up from 0, then half a cosine down to minLr,
 * both over fractional epochs.
 */
export function learningRate(
  step: number,
  { lr, minLr, warmupEpochs, epochs, stepsPerEpoch }: Schedule,
): number {
  const epoch = step / stepsPerEpoch;
  if (epoch < warmupEpochs) return (lr * epoch) / warmupEpochs;
  const progress = Math.min(1, (epoch - warmupEpochs) / (epochs - warmupEpochs));
  return minLr + (lr - minLr) * 0.5 * (1 + Math.cos(Math.PI * progress));
}
