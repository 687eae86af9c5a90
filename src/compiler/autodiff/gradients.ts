import { type Shape, sameShape } from '../../util/shape.js';
import { type Node, nodesOf, producerOf, type Value } from '../graph/graph.js';
import type { Op } from '../graph/op.js';
import { add } from '../graph/ops/elementwise.js';
import { gemm } from '../graph/ops/linalg.js';
import { reshape } from '../graph/ops/movement.js';
import { reduceSum } from '../graph/ops/reduction.js';
import { printNode } from '../graph/print.js';
import { isNotDifferentiable, notDifferentiable } from './not-differentiable.js';
import type { Rules } from './rule.js';
import { elementwiseRules } from './rules/elementwise.js';
import { linalgRules } from './rules/linalg.js';
import { movementRules } from './rules/movement.js';
import { normalizationRules } from './rules/normalization.js';
import { reductionRules } from './rules/reduction.js';

const rules: Rules<Op> = {
  ...elementwiseRules,
  ...linalgRules,
  ...movementRules,
  ...normalizationRules,
  ...reductionRules,
};

/**
 * Reverse-mode gradients of `y` with respect to `parameters`.
 *
 * @param dy the gradient of y, of y's shape; a scalar graph input scales the loss at no cost.
 * @param running gradients so far, to which the new ones are added (gradient accumulation).
 * @returns one gradient for each parameter that y depends on, in the order the backward pass makes them.
 */
export function gradients(
  y: Value,
  dy: Value,
  parameters: readonly Value[],
  running: ReadonlyMap<Value, Value> = new Map(),
): Map<Value, Value> {
  const nodes = nodesOf([y]);
  const wanted = new Set(parameters);
  const live = dependents(nodes, parameters);
  const gradientOf = new Map<Value, Value>([[y, dy]]);
  const uses = countUses(nodes, live);
  const finished = new Map<Value, Value>();
  // gradients that a rule has read
  const read = new Set<Value>();
  const plus = (a: Value | undefined, b: Value) => accumulate(a, b, !read.has(b));
  const finish = (value: Value) => {
    const total = gradientOf.get(value);
    if (wanted.has(value) && total !== undefined) finished.set(value, plus(running.get(value), total));
  };

  finish(y);
  for (const node of nodes.reverse()) {
    const dxs = inputGradients(node, gradientOf, live);
    for (const output of node.outputs) {
      const gradient = gradientOf.get(output);
      if (gradient !== undefined) read.add(gradient);
    }
    node.inputs.forEach((value, i) => {
      if (value === null || !live.has(value)) return;
      const dx = dxs[i]!;
      if (dx !== null) gradientOf.set(value, plus(gradientOf.get(value), sumTo(dx, value.shape)));
      const remaining = uses.get(value)! - 1;
      uses.set(value, remaining);
      if (remaining === 0) finish(value);
    });
  }
  return finished;
}

/** One gradient per input; null where none flows, no gradient reaches the outputs or no parameter the inputs. */
function inputGradients(
  node: Node,
  gradientOf: ReadonlyMap<Value, Value>,
  live: ReadonlySet<Value>,
): readonly (Value | null)[] {
  const dys = node.outputs.map((output) => gradientOf.get(output) ?? null);
  const first = dys.find((gradient) => gradient !== null);
  if (first === undefined || !node.outputs.some((output) => live.has(output))) {
    return node.inputs.map(() => null);
  }
  const inputs = node.inputs as readonly Value[];
  if (isNotDifferentiable(node.op)) {
    throw new TypeError(
      `gradients: expected differentiable operators between y and the parameters, got ${printNode(node)}; ` +
        `${node.op} is not differentiable: ${notDifferentiable[node.op]}`,
    );
  }
  const dxs = rules[node.op]({
    inputs,
    outputs: node.outputs,
    attributes: node.attributes,
    dy: dys[0] ?? first,
    dys,
  });
  if (dxs.length !== inputs.length) {
    throw new Error(
      `gradients: expected ${inputs.length} gradients for the inputs of ${printNode(node)}, ` +
        `got ${dxs.length}; the rule of ${node.op} has to give one for each input, or null`,
    );
  }
  return dxs;
}

/** The values that depend on a parameter, and the parameters: only they get gradients. */
function dependents(nodes: readonly Node[], parameters: readonly Value[]): Set<Value> {
  const live = new Set(parameters);
  for (const node of nodes) {
    if (node.inputs.some((value) => value !== null && live.has(value))) {
      for (const output of node.outputs) live.add(output);
    }
  }
  return live;
}

/** How many gradients each value waits for. */
function countUses(nodes: readonly Node[], live: ReadonlySet<Value>): Map<Value, number> {
  const uses = new Map<Value, number>();
  for (const node of nodes) {
    for (const value of node.inputs) {
      if (value !== null && live.has(value)) uses.set(value, (uses.get(value) ?? 0) + 1);
    }
  }
  return uses;
}

/**
 * a + b; where b comes `fresh` from a Gemm without a C, a becomes its C and the sum costs no pass of its own.
 * One that others read stays: a second Gemm would cost more than an addition.
 */
function accumulate(a: Value | undefined, b: Value, fresh: boolean): Value {
  if (a === undefined) return b;
  const node = producerOf(b);
  if (!fresh || node?.op !== 'Gemm' || node.inputs.length !== 2) return add(a, b);
  return gemm(node.inputs[0]!, node.inputs[1]!, {
    transA: node.attributes['transA'] === 1,
    transB: node.attributes['transB'] === 1,
    alpha: node.attributes['alpha'] as number,
    c: a,
  });
}

/** The gradient summed over the axes that broadcasting repeated. */
function sumTo(gradient: Value, shape: Shape): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const leading = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((size, axis) => {
    const repeated = axis < leading || (shape[axis - leading] === 1 && size !== 1);
    return repeated ? [axis] : [];
  });
  return reshape(reduceSum(gradient, axes), shape);
}
