import { sameShape } from '../../../util/shape.js';
import { createNode, formatType, type Value } from '../graph.js';

/**
 * buffer ← gradient where `overwrite`, else buffer + gradient, in place: the memory of an input changes.
 * overwrite: bool [1]. Returns bool [1], whether the buffer was updated.
 */
export function inPlaceAccumulator(buffer: Value, gradient: Value, overwrite: Value): Value {
  if (!sameShape(buffer.shape, gradient.shape) || buffer.type !== gradient.type) {
    throw new TypeError(
      `InPlaceAccumulatorV2: expected a buffer of ${formatType(gradient)}, got ${formatType(buffer)}`,
    );
  }
  const updated = { type: 'bool', shape: [1] } as const;
  return createNode('InPlaceAccumulatorV2', [buffer, gradient, overwrite], {}, [updated])[0]!;
}

/** Sequences of tensors, one tensor for each parameter. */
export interface AdamWSequences {
  readonly parameters: Value;
  readonly gradients: Value;
  readonly firstMoments: Value;
  readonly secondMoments: Value;
}

export interface AdamWAttributes {
  /** The decay rates of the moments: β₁ and β₂. */
  readonly alpha: number;
  readonly beta: number;
  readonly epsilon: number;
  readonly weight_decay: number;
  /** 1: moments are divided by 1 − βᵗ. */
  readonly correct_bias: 0 | 1;
  /** 0: PyTorch's order, decay before the update; 1: that of Hugging Face, after it. */
  readonly adam_mode: 0 | 1;
}

/**
 * One step of AdamW on every parameter, in place. learningRate: float32 [1]; step: int64 [1].
 * Returns bool [1], whether the parameters were updated.
 */
export function adamWOptimizer(
  learningRate: Value,
  step: Value,
  { parameters, gradients, firstMoments, secondMoments }: AdamWSequences,
  attributes: AdamWAttributes,
): Value {
  const inputs = [learningRate, step, parameters, gradients, firstMoments, secondMoments];
  const updated = { type: 'bool', shape: [1] } as const;
  return createNode('AdamWOptimizer', inputs, { ...attributes }, [updated])[0]!;
}
