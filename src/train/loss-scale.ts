/**
 * Dynamic loss scaling (Micikevicius et al., "Mixed Precision Training", 2018; the rules are those of
 * torch.amp.GradScaler). float16 has no numbers below 2⁻²⁴: the loss is multiplied by a scale, and with it every
 * gradient on its way back, which the optimizer then divides. Too large a scale makes some gradient infinite: that step
 * is skipped and the scale halved; after a while without, it is doubled. Scales are powers of two, so that nothing is
 * rounded when they are divided out.
 */
export interface LossScale {
  readonly scale: number;
  /** Steps since the scale changed. */
  readonly goodSteps: number;
}

export const firstLossScale: LossScale = { scale: 2 ** 16, goodSteps: 0 };

/** Steps without an overflow after which the scale doubles. */
export const growthInterval = 2000;
/** The scale below which overflow is no longer its doing. */
export const minScale = 1;
/** The inverse of float16's smallest number: what a larger scale would save is below 2⁻⁴⁸. */
export const maxScale = 2 ** 24;

export function afterGoodStep({ scale, goodSteps }: LossScale): LossScale {
  if (goodSteps + 1 < growthInterval) return { scale, goodSteps: goodSteps + 1 };
  return { scale: Math.min(2 * scale, maxScale), goodSteps: 0 };
}

export function afterOverflow({ scale }: LossScale): LossScale {
  return { scale: Math.max(scale / 2, minScale), goodSteps: 0 };
}

/** Whether a value read from a file is such a state. */
export function isLossScale(value: unknown): value is LossScale {
  if (typeof value !== 'object' || value === null) return false;
  const { scale, goodSteps } = value as Partial<LossScale>;
  return (
    typeof scale === 'number' &&
    scale >= minScale &&
    scale <= maxScale &&
    Number.isInteger(Math.log2(scale)) &&
    Number.isSafeInteger(goodSteps) &&
    goodSteps! >= 0 &&
    goodSteps! < growthInterval
  );
}

/**
 * - `good`: the optimizer takes it.
 * - `overflow`: the loss is a number, the gradient is not, and a smaller scale may help.
 * - `bad`: no scale helps.
 */
export type StepOutcome = 'good' | 'overflow' | 'bad';

/** lossScale: undefined where the precision needs none. */
export function judgeStep(loss: number, gradientNorm: number, lossScale: LossScale | undefined): StepOutcome {
  if (!Number.isFinite(loss)) return 'bad';
  if (Number.isFinite(gradientNorm)) return 'good';
  return lossScale !== undefined && lossScale.scale > minScale ? 'overflow' : 'bad';
}
