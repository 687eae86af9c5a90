/** Batch norm without affine parameters, and a task of it alone: y = BN(x·wᵀ), the loss Σ y∘dy; x and dy are given. */
import type { Value } from '../../src/compiler/graph/graph.js';
import { add, div, mul, scale, shift, sqrt, square, sub } from '../../src/compiler/graph/ops/elementwise.js';
import { matMul } from '../../src/compiler/graph/ops/linalg.js';
import { reshape, transpose } from '../../src/compiler/graph/ops/movement.js';
import { reduceMean, reduceSum } from '../../src/compiler/graph/ops/reduction.js';
import type { Parameters } from '../../src/model/layers.js';
import type { ParameterSpec } from '../../src/model/parameters.js';
import type { OnBuffer, Task } from '../../src/model/task.js';
import { smallModel } from './small-model.js';

const meanName = 'head_norm.running_mean';
const varianceName = 'head_norm.running_var';
const epsilon = 1e-6;
const momentum = 0.1;

export function batchNormParameters(width: number): ParameterSpec[] {
  const buffer = (name: string, kind: 'zeros' | 'ones') =>
    ({ name, shape: [width], group: 'fixed', initialization: { kind } }) as const;
  return [buffer(meanName, 'zeros'), buffer(varianceName, 'ones')];
}

/** In training, by the statistics of the batch; the running ones are told. x: [B, D]. */
export function trainedBatchNorm(x: Value, p: Parameters, onBuffer: OnBuffer | undefined): Value {
  const count = x.shape[0]!;
  const mean = reduceMean(x, [0]);
  const variance = reduceMean(square(sub(x, mean)), [0]);
  const tell = (name: string, now: Value) =>
    onBuffer?.(name, add(scale(p(name), 1 - momentum), scale(now, momentum)));
  tell(meanName, mean);
  // PyTorch keeps the unbiased variance and normalises by the biased one
  tell(varianceName, scale(variance, count / (count - 1)));
  return normalized(x, mean, variance);
}

/** In evaluation, by the running statistics. */
export function evaluatedBatchNorm(x: Value, p: Parameters): Value {
  return normalized(x, p(meanName), p(varianceName));
}

function normalized(x: Value, mean: Value, variance: Value): Value {
  return div(sub(x, mean), sqrt(shift(variance, epsilon)));
}

export function batchNormTask(width: number): Task {
  const input = (p: Parameters, x: Value) => matMul(x, transpose(p('w'), [1, 0]));
  return {
    name: 'batch-norm',
    model: smallModel,
    options: {},
    metadata: {},
    parameters: [
      { name: 'w', shape: [width, width], group: 'decayed', initialization: { kind: 'xavier-uniform' } },
      ...batchNormParameters(width),
    ],
    inputs: (batchSize) =>
      ['x', 'dy'].map((name) => ({ name, type: 'float32', shape: [batchSize, width], content: 'class' })),
    loss(p, batch, _onBlock, onBuffer) {
      const y = trainedBatchNorm(input(p, batch('x')), p, onBuffer);
      return reduceSum(reshape(mul(y, batch('dy')), [y.shape[0]! * width]), [0]);
    },
    evaluation(p, batch) {
      const y = evaluatedBatchNorm(input(p, batch('x')), p);
      return [
        { name: 'image_loss', value: reduceSum(mul(y, batch('dy')), [1]) },
        { name: 'y', value: y },
      ];
    },
  };
}
