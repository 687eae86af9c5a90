/** A task with batch norm without affine parameters, y = BN(x·wᵀ), and the loss Σ y∘dy; dy is given. */
import type { Value } from '../../src/compiler/graph/graph.js';
import { add, div, mul, scale, shift, sqrt, square, sub } from '../../src/compiler/graph/ops/elementwise.js';
import { matMul } from '../../src/compiler/graph/ops/linalg.js';
import { reshape, transpose } from '../../src/compiler/graph/ops/movement.js';
import { reduceMean, reduceSum } from '../../src/compiler/graph/ops/reduction.js';
import type { Task } from '../../src/model/task.js';
import { smallModel } from './small-model.js';

export const batchNormInputs = { x: 'x', dy: 'dy' } as const;

export function batchNormTask(width: number, { epsilon = 1e-6, momentum = 0.1 } = {}): Task {
  const buffer = (name: string, kind: 'zeros' | 'ones') =>
    ({ name, shape: [width], group: 'fixed', initialization: { kind } }) as const;
  const normalized = (x: Value, mean: Value, variance: Value): Value =>
    div(sub(x, mean), sqrt(shift(variance, epsilon)));
  return {
    name: 'batch-norm',
    model: smallModel,
    options: {},
    metadata: {},
    parameters: [
      { name: 'w', shape: [width, width], group: 'decayed', initialization: { kind: 'xavier-uniform' } },
      buffer('head_norm.running_mean', 'zeros'),
      buffer('head_norm.running_var', 'ones'),
    ],
    inputs: (batchSize) =>
      Object.values(batchNormInputs).map((name) => ({
        name,
        type: 'float32',
        shape: [batchSize, width],
        content: 'class',
      })),
    loss(p, batch, _onBlock, onBuffer) {
      const x = matMul(batch('x'), transpose(p('w'), [1, 0])); // [B, D]
      const count = x.shape[0]!;
      const mean = reduceMean(x, [0]);
      const variance = reduceMean(square(sub(x, mean)), [0]);
      const running = (name: string, now: Value) =>
        onBuffer?.(name, add(scale(p(name), 1 - momentum), scale(now, momentum)));
      running('head_norm.running_mean', mean);
      // PyTorch keeps the unbiased variance and normalises by the biased one
      running('head_norm.running_var', scale(variance, count / (count - 1)));
      return total(mul(normalized(x, mean, variance), batch('dy')));
    },
    evaluation(p, batch) {
      const x = matMul(batch('x'), transpose(p('w'), [1, 0]));
      const y = normalized(x, p('head_norm.running_mean'), p('head_norm.running_var'));
      return [
        { name: 'image_loss', value: reduceSum(mul(y, batch('dy')), [1]) },
        { name: 'y', value: y },
      ];
    },
  };
}

function total(x: Value): Value {
  return reduceSum(reshape(x, [x.shape[0]! * x.shape[1]!]), [0]);
}
