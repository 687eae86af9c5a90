import { sizeOf } from '../../../util/shape.js';
import { intsOf } from '../../graph/constant.js';
import type { Value } from '../../graph/graph.js';
import type { ReductionOp } from '../../graph/op.js';
import { exp, mul, scale, sub } from '../../graph/ops/elementwise.js';
import { expand, reshape } from '../../graph/ops/movement.js';
import type { Rules } from '../rule.js';

/** dy with the reduced axes back as axes of size 1, so that it broadcasts against x. */
function withReducedAxes(dy: Value, x: Value, axes: Value): Value {
  const reduced = intsOf(axes);
  return reshape(
    dy,
    x.shape.map((size, axis) => (reduced.includes(axis) ? 1 : size)),
  );
}

export const reductionRules: Rules<ReductionOp> = {
  ReduceSum: ({ inputs: [x, axes], dy }) => [expand(withReducedAxes(dy, x!, axes!), x!.shape), null],
  // y = Σx / n;  dx = dy / n
  ReduceMean: ({ inputs: [x, axes], outputs: [y], dy }) => {
    const share = sizeOf(y!.shape) / sizeOf(x!.shape);
    return [expand(scale(withReducedAxes(dy, x!, axes!), share), x!.shape), null];
  },
  // y = log Σeˣ;  dx = dy·eˣ⁻ʸ
  ReduceLogSumExp: ({ inputs: [x, axes], outputs: [y], dy }) => [
    mul(exp(sub(x!, withReducedAxes(y!, x!, axes!))), withReducedAxes(dy, x!, axes!)),
    null,
  ],
  // y = Σx²;  dx = 2x·dy
  ReduceSumSquare: ({ inputs: [x, axes], dy }) => [mul(scale(x!, 2), withReducedAxes(dy, x!, axes!)), null],
};
