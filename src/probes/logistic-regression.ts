import { gradients } from '../compiler/autodiff/gradients.js';
import { scalarLike } from '../compiler/graph/constant.js';
import { type Graph, input } from '../compiler/graph/graph.js';
import { mul, sub } from '../compiler/graph/ops/elementwise.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import { reduceLogSumExp, reduceMean, reduceSum } from '../compiler/graph/ops/reduction.js';
import type { Runtime } from '../runtime/runtime.js';
import { BoundGraph } from './bound-graph.js';
import type { LabelledFeatures } from './labelled-features.js';
import { lbfgs } from './lbfgs.js';

export interface LogisticModel {
  /** [C, D] */
  readonly weights: Float64Array;
  /** [C] */
  readonly bias: Float64Array;
  /** mean cross-entropy + ‖W‖² / (2·C·N) */
  readonly loss: number;
  readonly iterations: number;
}

export interface LogisticOptions {
  readonly classes: number;
  /** Inverse strength of the penalty, as in scikit-learn. */
  readonly C: number;
  readonly maxIterations?: number | undefined;
  /** Largest element of the gradient, as a share of the loss, with which the search ends. */
  readonly tolerance?: number | undefined;
  /** Zeros where not given. */
  readonly start?: Pick<LogisticModel, 'weights' | 'bias'> | undefined;
}

/** Multinomial logistic regression with scikit-learn's objective: C·Σ cross-entropy + ½‖W‖², without a penalty on the bias. */
export async function fitLogisticRegression(
  runtime: Runtime,
  train: LabelledFeatures,
  options: LogisticOptions,
): Promise<LogisticModel> {
  const regression = new LogisticRegression(runtime, train, options.classes);
  try {
    return await regression.fit(options);
  } finally {
    regression.release();
  }
}

/** A training set in a session, for one fit after another. */
export class LogisticRegression {
  readonly #graph: BoundGraph;
  readonly #arrays: Record<'weights' | 'bias' | 'losses' | 'weights_grad' | 'bias_grad', Float32Array>;
  readonly #count: number;
  readonly #classes: number;

  constructor(runtime: Runtime, { values, size, labels }: LabelledFeatures, classes: number) {
    this.#count = labels.length;
    this.#classes = classes;
    this.#arrays = {
      weights: new Float32Array(classes * size),
      bias: new Float32Array(classes),
      losses: new Float32Array(labels.length),
      weights_grad: new Float32Array(classes * size),
      bias_grad: new Float32Array(classes),
    };
    const data = { features: values, targets: oneHot(labels, classes) };
    this.#graph = new BoundGraph(runtime, lossGraph(labels.length, size, classes), {
      ...this.#arrays,
      ...data,
    });
  }

  async fit(options: Omit<LogisticOptions, 'classes'>): Promise<LogisticModel> {
    const { C, maxIterations = 2000, tolerance = precise, start } = options;
    const { weights, bias } = this.#arrays;
    const x = new Float64Array(weights.length + bias.length);
    if (start !== undefined) {
      x.set(start.weights);
      x.set(start.bias, weights.length);
    }
    // of two classes scikit-learn has one row of weights, the difference of ours: ½‖w₁ − w₀‖² = ‖W‖², for w₁ = −w₀
    const penalty = (this.#classes === 2 ? 2 : 1) / (C * this.#count);
    const minimum = await lbfgs((at, gradient) => this.#evaluate(at, gradient, penalty), x, {
      tolerance,
      maxIterations,
      noise: 2 ** -24 / Math.sqrt(this.#count), // a loss of each picture in float32
    });
    return {
      weights: minimum.x.slice(0, weights.length),
      bias: minimum.x.slice(weights.length),
      loss: minimum.value,
      iterations: minimum.iterations,
    };
  }

  release(): void {
    this.#graph.release();
  }

  /** Products in float32, sums over pictures and the penalty in float64. */
  async #evaluate(x: Float64Array, gradient: Float64Array, penalty: number): Promise<number> {
    const { weights, bias, losses, weights_grad, bias_grad } = this.#arrays;
    weights.set(x.subarray(0, weights.length));
    bias.set(x.subarray(weights.length));
    await this.#graph.run('weights', 'bias');
    gradient.set(weights_grad);
    gradient.set(bias_grad, weights.length);
    let squares = 0;
    for (let i = 0; i < weights.length; i++) {
      squares += x[i]! ** 2;
      gradient[i]! += penalty * x[i]!;
    }
    let loss = 0;
    for (const each of losses) loss += each;
    return loss / this.#count + (penalty * squares) / 2;
  }
}

/** Within 1e-5 of the least loss; scikit-learn's default, 1e-4 whatever the loss, is where some predictions still change. */
const precise = 3e-5;

/** features, targets, weights, bias → the loss of each picture and the gradients of their mean. */
function lossGraph(count: number, size: number, classes: number): Graph {
  const features = input('features', 'float32', [count, size]);
  const targets = input('targets', 'float32', [count, classes]);
  const weights = input('weights', 'float32', [classes, size]);
  const bias = input('bias', 'float32', [classes]);
  const logits = gemm(features, weights, { transB: true, c: bias }); // [N, C]
  // log Σ exp(z − z_class): small losses are no difference of large numbers
  const losses = reduceLogSumExp(sub(logits, reduceSum(mul(logits, targets), [-1], true)), [-1]); // [N]
  const loss = reduceMean(losses, [0]);
  const found = gradients(loss, scalarLike(loss, 1), [weights, bias]);
  return {
    name: 'logistic_regression',
    inputs: [features, targets, weights, bias],
    outputs: [
      { name: 'losses', value: losses },
      { name: 'weights_grad', value: found.get(weights)! },
      { name: 'bias_grad', value: found.get(bias)! },
    ],
  };
}

function oneHot(labels: Int32Array, classes: number): Float32Array {
  const targets = new Float32Array(labels.length * classes);
  for (const [row, label] of labels.entries()) {
    if (!(label >= 0 && label < classes))
      throw new RangeError(`labels: expected 0 … ${classes - 1}, got ${label}`);
    targets[row * classes + label] = 1;
  }
  return targets;
}

/** x·Wᵀ + b for each row: [N, C]. */
export function predictLogits(
  { weights, bias }: Pick<LogisticModel, 'weights' | 'bias'>,
  { values, size }: Pick<LabelledFeatures, 'values' | 'size'>,
): Float32Array {
  const classes = bias.length;
  const count = values.length / size;
  const logits = new Float32Array(count * classes);
  for (let row = 0; row < count; row++) {
    const x = values.subarray(row * size, (row + 1) * size);
    for (let c = 0; c < classes; c++) {
      let sum = bias[c]!;
      for (let i = 0, at = c * size; i < size; i++, at++) sum += x[i]! * weights[at]!;
      logits[row * classes + c] = sum;
    }
  }
  return logits;
}
