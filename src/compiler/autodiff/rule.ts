import type { Attributes, Value } from '../graph/graph.js';
import type { Op } from '../graph/op.js';
import type { NotDifferentiable } from './not-differentiable.js';

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

/** A rule for each differentiable operator of a set: a missing one does not compile. */
export type Rules<O extends Op> = { readonly [K in Exclude<O, NotDifferentiable>]: Rule };
