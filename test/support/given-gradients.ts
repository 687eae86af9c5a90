/** A task whose gradients are inputs: the loss is Σ p∘g. It holds optimizers to numbers that others were given too. */
import { add, mul } from '../../src/compiler/graph/ops/elementwise.js';
import { reshape } from '../../src/compiler/graph/ops/movement.js';
import { reduceSum } from '../../src/compiler/graph/ops/reduction.js';
import { isTrained, type ParameterSpec } from '../../src/model/parameters.js';
import type { Task } from '../../src/model/task.js';
import { sizeOf } from '../../src/util/shape.js';
import { smallModel } from './small-model.js';

export const givenName = (parameter: string) => `given.${parameter}`;

export function givenGradientsTask(
  specs: readonly Pick<ParameterSpec, 'name' | 'shape' | 'group' | 'lrScale'>[],
): Task {
  const parameters = specs.map((spec) => ({ ...spec, initialization: { kind: 'zeros' } as const }));
  const trained = parameters.filter(isTrained);
  return {
    name: 'given-gradients',
    model: smallModel,
    options: {},
    metadata: {},
    parameters,
    inputs: () =>
      trained.map(({ name, shape }) => ({
        name: givenName(name),
        type: 'float32',
        shape,
        content: 'class',
      })),
    loss: (p, batch) =>
      trained
        .map(({ name, shape }) => {
          const product = mul(p(name), batch(givenName(name)));
          return reduceSum(reshape(product, [sizeOf(shape)]), [0]);
        })
        .reduce((sum, one) => add(sum, one)),
    evaluation: (p) => [{ name: 'image_loss', value: add(p(trained[0]!.name), p(trained[0]!.name)) }],
  };
}
