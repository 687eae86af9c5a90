import type { Attributes, Value } from '../graph/graph.js';
import type { Op } from '../graph/op.js';

/** What a rule sees of the node it differentiates. */
export interface RuleContext {
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
  /** The gradient of the first output. */
  readonly dy: Value;
  /** The gradients of all outputs, null where none flows. */
  readonly dys: readonly (Value | null)[];
}

/** One gradient per input, null where none flows. The driver sums broadcast axes and accumulates. */
export type Rule = (context: RuleContext) => readonly (Value | null)[];

/** A rule for each of a set of operators: a missing one does not compile. */
export type Rules<O extends Op> = { readonly [K in O]: Rule };

/** Marks an operator through which no gradient can flow. */
export const notDifferentiable: Rule = () => {
  throw new TypeError('autodiff: a gradient reached an operator that is not differentiable');
};
