import { gradients } from '../compiler/autodiff/gradients.js';
import { scalarLike } from '../compiler/graph/constant.js';
import { type Graph, input } from '../compiler/graph/graph.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import { reduceMean } from '../compiler/graph/ops/reduction.js';
import { crossEntropies } from '../model/cross-entropy.js';
import type { Runtime } from '../runtime/runtime.js';
import { BoundGraph } from './bound-graph.js';
import type { Cholesky } from './cholesky.js';
import type { LabelledFeatures } from './labelled-features.js';
import { lbfgs } from './lbfgs.js';
import { RowSpace } from './row-space.js';
import { Whitening } from './whitening.js';

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
  /** About how far above the least loss the search may end, as a share of the loss. */
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
  readonly #runtime: Runtime;
  readonly #features: LabelledFeatures;
  readonly #classes: number;
  /** Where there are fewer pictures than numbers. */
  readonly #rowSpace: RowSpace | undefined;
  readonly #graph: BoundGraph;
  readonly #arrays: Record<'weights' | 'bias' | 'losses' | 'weights_grad' | 'bias_grad', Float32Array>;
  #whitening: Whitening | undefined;

  constructor(runtime: Runtime, train: LabelledFeatures, classes: number) {
    this.#runtime = runtime;
    this.#classes = classes;
    const count = train.labels.length;
    this.#rowSpace = count < train.size ? new RowSpace(train) : undefined;
    this.#features = this.#rowSpace?.coordinates ?? train;
    const { values, size } = this.#features;
    this.#arrays = {
      weights: new Float32Array(classes * size),
      bias: new Float32Array(classes),
      losses: new Float32Array(count),
      weights_grad: new Float32Array(classes * size),
      bias_grad: new Float32Array(classes),
    };
    const data = { features: values, targets: oneHot(train.labels, classes) };
    this.#graph = new BoundGraph(runtime, lossGraph(count, size, classes), { ...this.#arrays, ...data });
  }

  async fit(options: Omit<LogisticOptions, 'classes'>): Promise<LogisticModel> {
    const { C, maxIterations = 2000, tolerance = precise, start } = options;
    const count = this.#features.labels.length;
    // of two classes scikit-learn has one row of weights, the difference of ours: ½‖w₁ − w₀‖² = ‖W‖², for w₁ = −w₀
    const penalty = (this.#classes === 2 ? 2 : 1) / (C * count);
    this.#whitening ??= await Whitening.of(this.#runtime, this.#features, 1 / this.#classes);
    const factor = this.#whitening.at(penalty);
    const minimum = await lbfgs(
      (at, gradient) => this.#evaluate(at, gradient, factor, penalty),
      this.#startOf(start, factor),
      // the loss of each picture is in float32
      { tolerance, maxIterations, noise: 2 ** -24 / Math.sqrt(count) },
    );
    factor.solveTransposed(minimum.x);
    const { weights, bias } = this.#split(minimum.x);
    return {
      weights: this.#rowSpace?.toFeatures(weights) ?? weights,
      bias,
      loss: minimum.value,
      iterations: minimum.iterations,
    };
  }

  release(): void {
    this.#graph.release();
  }

  /**
   * The objective at whitened coordinates [C, D + 1], the last of each class its bias. Products are in float32, sums over
   * pictures and the penalty in float64.
   */
  async #evaluate(
    at: Float64Array,
    gradient: Float64Array,
    factor: Cholesky,
    penalty: number,
  ): Promise<number> {
    const { weights, bias, losses, weights_grad, bias_grad } = this.#arrays;
    const { size, labels } = this.#features;
    const x = at.slice();
    factor.solveTransposed(x);
    const found = this.#split(x);
    weights.set(found.weights);
    bias.set(found.bias);
    await this.#graph.run('weights', 'bias');
    let squares = 0;
    for (let c = 0, w = 0; c < this.#classes; c++) {
      for (let i = c * (size + 1); i < (c + 1) * (size + 1) - 1; i++, w++) {
        squares += x[i]! ** 2;
        gradient[i] = weights_grad[w]! + penalty * x[i]!;
      }
      gradient[(c + 1) * (size + 1) - 1] = bias_grad[c]!;
    }
    factor.solve(gradient);
    let loss = 0;
    for (const each of losses) loss += each;
    return loss / labels.length + (penalty * squares) / 2;
  }

  #startOf(start: LogisticOptions['start'], factor: Cholesky): Float64Array {
    const { size } = this.#features;
    const x = new Float64Array(this.#classes * (size + 1));
    if (start === undefined) return x;
    const weights = this.#rowSpace?.fromFeatures(start.weights) ?? start.weights;
    for (let c = 0; c < this.#classes; c++) {
      x.set(weights.subarray(c * size, (c + 1) * size), c * (size + 1));
      x[(c + 1) * (size + 1) - 1] = start.bias[c]!;
    }
    factor.multiplyTransposed(x);
    return x;
  }

  #split(x: Float64Array): Pick<LogisticModel, 'weights' | 'bias'> {
    const { size } = this.#features;
    const weights = new Float64Array(this.#classes * size);
    const bias = new Float64Array(this.#classes);
    for (let c = 0; c < this.#classes; c++) {
      const end = (c + 1) * (size + 1) - 1;
      weights.set(x.subarray(c * (size + 1), end), c * size);
      bias[c] = x[end]!;
    }
    return { weights, bias };
  }
}

/** Losses end within 1e-5 of the least, and so few predictions differ that scikit-learn's differ from its own as much. */
const precise = 1e-8;

/** features, targets, weights, bias → the loss of each picture and the gradients of their mean. */
function lossGraph(count: number, size: number, classes: number): Graph {
  const features = input('features', 'float32', [count, size]);
  const targets = input('targets', 'float32', [count, classes]);
  const weights = input('weights', 'float32', [classes, size]);
  const bias = input('bias', 'float32', [classes]);
  const logits = gemm(features, weights, { transB: true, c: bias }); // [N, C]
  const losses = crossEntropies(logits, targets); // [N]
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
