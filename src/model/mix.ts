/** Mixup and CutMix of a batch with itself backwards, by what the loader drew; see `mix` in `task.ts`. */
import { constant } from '../compiler/graph/constant.js';
import type { Value } from '../compiler/graph/graph.js';
import { add, mul, sub } from '../compiler/graph/ops/elementwise.js';
import { expand, gather, reshape, slice } from '../compiler/graph/ops/movement.js';

/** x + s·r·c·(x backwards − x). pixels: [B, H, W·3]; mix: [B, 2 + H + W]. */
export function mixPixels(pixels: Value, mix: Value): Value {
  const [count, height, length] = pixels.shape as [number, number, number];
  const width = length / 3;
  const share = slice(mix, 1, 1, 2); // [B, 1]
  const rows = mul(share, slice(mix, 1, 2, 2 + height)); // [B, H]
  const columns = reshape(slice(mix, 1, 2 + height, 2 + height + width), [count, width, 1]);
  const channels = reshape(expand(columns, [count, width, 3]), [count, 1, length]);
  const weights = mul(reshape(rows, [count, height, 1]), channels);
  return add(pixels, mul(weights, sub(backwards(pixels), pixels)));
}

/** t + λ'·(t backwards − t), with λ' the partner's share. targets: [B, C]; mix: [B, 2 + H + W]. */
export function mixTargets(targets: Value, mix: Value): Value {
  return add(targets, mul(slice(mix, 1, 0, 1), sub(backwards(targets), targets)));
}

/** The batch in the opposite order. */
function backwards(x: Value): Value {
  const count = x.shape[0]!;
  return gather(
    x,
    constant(
      'int64',
      [count],
      BigInt64Array.from({ length: count }, (_, i) => BigInt(count - 1 - i)),
    ),
  );
}
