import { createNode, type Graph, input, type Value } from '../../compiler/graph/graph.js';
import { type AdamWOptions, adamWDefaults, adamWScalarNames } from './adamw.js';

/**
 * One step of AdamW (Loshchilov & Hutter, 2019; PyTorch's form) on a chunk of the flat arenas:
 *
 *   m ← β₁m + (1 − β₁)g      v ← β₂v + (1 − β₂)g²
 *   p ← (1 − lr·λ)p − lr/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε)
 *
 * param, grad, exp_avg, exp_avg_sq: float32 [chunk]; the outputs may be bound to the memory of the inputs they
 * replace, for every operator that writes one is the last to read it.
 */
export function adamWGraph(chunk: number, { beta1, beta2, epsilon }: AdamWOptions = adamWDefaults): Graph {
  const vector = (name: string) => input(name, 'float32', [chunk]);
  const scalar = (name: string) => input(name, 'float32', []);
  const [p, g, m, v] = [vector('param'), vector('grad'), vector('exp_avg'), vector('exp_avg_sq')];
  const scalars = Object.values(adamWScalarNames).map(scalar);
  const inputs = [p, g, m, v, ...scalars];
  const [nextP, nextM, nextV] = createNode('AdamW', inputs, { beta1, beta2, epsilon }, [p, m, v]) as [
    Value,
    Value,
    Value,
  ];
  return {
    name: 'optimizer_model',
    inputs,
    outputs: [
      { name: 'param_out', value: nextP },
      { name: 'exp_avg_out', value: nextM },
      { name: 'exp_avg_sq_out', value: nextV },
    ],
  };
}
