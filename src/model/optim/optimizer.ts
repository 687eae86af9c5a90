import type { AdamWOptions } from './adamw.js';
import type { LarsOptions } from './lars.js';

/** The rule by which parameters follow their gradients, with its constants; AdamW where no kind is named. */
export type OptimizerOptions = AdamWOptions | LarsOptions;

/** What a step hands to an optimizer beside the gradients. */
export interface OptimizerStep {
  /** Counts from 1. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** What the gradients are to be multiplied by. */
  readonly gradientScale: number;
}

/** Running averages that are kept for each trained parameter, by the names that checkpoints have for them. */
export type AverageName = 'exp_avg' | 'exp_avg_sq' | 'momentum_buffer' | 'ema';

/** Those of an optimizer, and that of the parameters themselves where there is one. */
export function averageNames(optimizer: OptimizerOptions, emaDecay: number | undefined): AverageName[] {
  const ofGradients: AverageName[] =
    optimizer.kind === 'lars' ? ['momentum_buffer'] : ['exp_avg', 'exp_avg_sq'];
  return emaDecay === undefined ? ofGradients : [...ofGradients, 'ema'];
}
