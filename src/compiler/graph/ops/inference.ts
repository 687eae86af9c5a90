import type { Shape } from '../../../util/shape.js';
import { intVector } from '../constant.js';
import { createNode, formatType, type Value } from '../graph.js';

/**
 * A product with each patch of an image, side by side: `[B, C, H, W]`, weight `[D, C, P, P]`, bias `[D]` →
 * `[B, D, H/P, W/P]`.
 */
export function patchConv(x: Value, weight: Value, bias: Value): Value {
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [size, from, patch, other] = weight.shape as [number, number, number, number];
  const fits = from === channels && patch === other && height % patch === 0 && width % patch === 0;
  if (!fits || bias.shape[0] !== size) {
    throw new RangeError(
      `Conv: expected [B, C, H, W], [D, C, P, P] and [D] of whole patches, got ${[x, weight, bias].map(formatType).join(', ')}`,
    );
  }
  const attributes = { kernel_shape: [patch, patch], strides: [patch, patch] };
  const shape = [batch, size, height / patch, width / patch];
  return createNode('Conv', [x, weight, bias], attributes, [{ type: x.type, shape }])[0]!;
}

/** The sizes that x has when the graph runs, int64 `[rank]`. */
export function shapeOf(x: Value): Value {
  return createNode('Shape', [x], {}, [{ type: 'int64', shape: [x.shape.length] }])[0]!;
}

/** start, start + delta, … below limit: scalars of one type → `[length]`, the length while the graph is built. */
export function range(start: Value, limit: Value, delta: Value, length: number): Value {
  return createNode('Range', [start, limit, delta], {}, [{ type: start.type, shape: [length] }])[0]!;
}

export const sin = (x: Value): Value => createNode('Sin', [x], {}, [x])[0]!;
export const cos = (x: Value): Value => createNode('Cos', [x], {}, [x])[0]!;

/**
 * Bicubic interpolation as torch's (a = −0.75, corners not aligned, edges repeated, no antialiasing). sizes: int64 `[rank]`,
 * which are `shape` while the graph is built.
 */
export function resizeCubic(x: Value, sizes: Value, shape: Shape): Value {
  const attributes = { coordinate_transformation_mode: 'half_pixel', cubic_coeff_a: -0.75, mode: 'cubic' };
  return createNode('Resize', [x, null, null, sizes], attributes, [{ type: x.type, shape }])[0]!;
}

/** float32 → uint8 of the same shape, with the scale and the zero point (scalars) that its own range asks for. */
export function dynamicQuantizeLinear(x: Value): { quantized: Value; scale: Value; zeroPoint: Value } {
  const outputs = [
    { type: 'uint8', shape: x.shape },
    { type: 'float32', shape: [] },
    { type: 'uint8', shape: [] },
  ] as const;
  const [quantized, scale, zeroPoint] = createNode('DynamicQuantizeLinear', [x], {}, outputs) as [
    Value,
    Value,
    Value,
  ];
  return { quantized, scale, zeroPoint };
}

/** (a − aZeroPoint)·(b − bZeroPoint) in int32. a: uint8 `[M, K]`, b: uint8 `[K, N]`; zero points are scalars. */
export function matMulInteger(a: Value, b: Value, aZeroPoint: Value, bZeroPoint: Value): Value {
  const [m, k] = a.shape;
  const [kb, n] = b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || k !== kb) {
    throw new RangeError(
      `MatMulInteger: expected two matrices that multiply, got ${formatType(a)} and ${formatType(b)}`,
    );
  }
  const output = { type: 'int32', shape: [m!, n!] } as const;
  return createNode('MatMulInteger', [a, b, aZeroPoint, bZeroPoint], {}, [output])[0]!;
}

/** [B, D, H, W] → [B, D, H·W], whatever the sizes are when the graph runs. */
export function flattenGrid(x: Value): Value {
  const [batch, size, height, width] = x.shape as [number, number, number, number];
  const output = { type: x.type, shape: [batch, size, height * width] };
  return createNode('Reshape', [x, intVector([0, 0, -1])], {}, [output])[0]!;
}

/** x repeated to the sizes of int64 `[rank]`, which are `shape` while the graph is built. */
export function expandTo(x: Value, sizes: Value, shape: Shape): Value {
  return createNode('Expand', [x, sizes], {}, [{ type: x.type, shape }])[0]!;
}
