import { intsOf } from '../../graph/constant.js';
import type { MovementOp } from '../../graph/op.js';
import { concat, pad, reshape, scatterAdd, slice, transpose, zeros } from '../../graph/ops/movement.js';
import type { Rules } from '../rule.js';

export const movementRules: Rules<MovementOp> = {
  Reshape: ({ inputs: [x], dy }) => [reshape(dy, x!.shape), null],
  // y's axis i is x's axis perm[i], so dx is dy under the inverse permutation
  Transpose: ({ attributes, dy }) => {
    const perm = attributes['perm'] as readonly number[];
    return [
      transpose(
        dy,
        perm.map((_, axis) => perm.indexOf(axis)),
      ),
    ];
  },
  // y = x[start:end];  dx is dy with zeros around it
  Slice: ({ inputs: [x, starts, ends, axes], dy }) => {
    const [axis] = intsOf(axes!);
    const [start] = intsOf(starts!);
    const [end] = intsOf(ends!);
    return [pad(dy, axis!, start!, x!.shape[axis!]! - end!), null, null, null];
  },
  Concat: ({ inputs, attributes, dy }) => {
    const axis = attributes['axis'] as number;
    let end = 0;
    return inputs.map((x) => {
      const start = end;
      end += x.shape[axis]!;
      return slice(dy, axis, start, end);
    });
  },
  // an output without a gradient contributes zeros
  Split: ({ outputs, attributes, dys }) => {
    const parts = outputs.map((y, i) => dys[i] ?? zeros(y.type, y.shape));
    return [concat(parts, attributes['axis'] as number), null];
  },
  // y[i…] = x[indices[i…]];  dx[r] = Σ dy[i…] over the places where indices[i…] = r
  Gather: ({ inputs: [x, indices], dy }) => [scatterAdd(x!.shape, indices!, dy), null],
  // the driver sums over the repeated axes
  Expand: ({ dy }) => [dy, null],
  Pad: ({ inputs: [x, pads], dy }) => {
    const bounds = intsOf(pads!);
    const rank = x!.shape.length;
    let dx = dy;
    for (let axis = 0; axis < rank; axis++) {
      const before = bounds[axis]!;
      if (before + bounds[axis + rank]! > 0) dx = slice(dx, axis, before, before + x!.shape[axis]!);
    }
    return [dx, null];
  },
};
