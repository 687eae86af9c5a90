/** The encoder for pictures of any multiple of the patch: their sizes are numbers of the graph. */
import { constant, intVector, scalarLike } from '../compiler/graph/constant.js';
import type { Value } from '../compiler/graph/graph.js';
import { add, cast, mul } from '../compiler/graph/ops/elementwise.js';
import {
  cos,
  expandTo,
  flattenGrid,
  patchConv,
  range,
  resizeCubic,
  shapeOf,
  sin,
} from '../compiler/graph/ops/inference.js';
import { concat, gather, pad, reshape, slice, transpose } from '../compiler/graph/ops/movement.js';
import { type ModelConfig, patchGrid } from './config.js';
import type { Parameters } from './layers.js';
import { transformerBlocks } from './vit.js';

/** Positions of a grid of another size: the table of the paper computed anew for it, or the stored one interpolated. */
export type Positions = 'sincos' | 'bicubic';

/**
 * As `vitTokens`, for any size. pixelValues float32 [B, 3, H, W] → tokens [B, 1 + L, D]; `lowering/any-size.ts` frees the
 * sizes that the blocks are built with.
 */
export function anySizeTokens(
  config: ModelConfig,
  p: Parameters,
  pixelValues: Value,
  positions: Positions,
): Value {
  const { embedDim: width } = config;
  const grid = patchConv(pixelValues, p('patch_embed.proj.weight'), p('patch_embed.proj.bias')); // [B, D, rows, columns]
  const [batch, , rows, columns] = grid.shape as [number, number, number, number];
  const sizes = shapeOf(grid);
  const table = { sincos: sinCosTable, bicubic: interpolatedTable }[positions](
    config,
    p,
    slice(sizes, 0, 2, 4),
    { rows, columns },
  );
  const patches = add(transpose(flattenGrid(grid), [0, 2, 1]), table);
  const first = add(p('cls_token'), slice(p('pos_embed'), 1, 0, 1));
  const each = concat([slice(sizes, 0, 0, 1), intVector([1, width])], 0);
  const cls = expandTo(first, each, [batch, 1, width]);
  return transformerBlocks(config, p, concat([cls, patches], 1));
}

/** While the graph is built. */
interface Grid {
  readonly rows: number;
  readonly columns: number;
}

/** The table of `sinCosPositions` without the row of the class token. size: int64 [2] → [L, D]. */
function sinCosTable({ embedDim: width }: ModelConfig, _: Parameters, size: Value, grid: Grid): Value {
  const half = width / 2;
  // the first half of a row encodes the column
  const across = pad(sinCosRows(size, 1, grid.columns, half), 1, 0, half); // [columns, D]
  const down = pad(sinCosRows(size, 0, grid.rows, half), 1, half, 0); // [rows, D]
  const columns = transpose(reshape(across, [grid.columns, 1, width]), [1, 0, 2]);
  const sum = add(reshape(down, [grid.rows, 1, width]), columns); // [rows, columns, D]
  return reshape(sum, [grid.rows * grid.columns, width]);
}

/** sin(i·ω_k), then cos(i·ω_k), ω_k = 10000^(−k / (width/2)), for i below one of the sizes: [count, width]. */
function sinCosRows(size: Value, axis: 0 | 1, count: number, width: number): Value {
  const [zero, one, at] = [0, 1, axis].map((number) => scalarLike(size, number)) as [Value, Value, Value];
  const places = cast(range(zero, gather(size, at), one, count), 'float32');
  const omega = Float32Array.from({ length: width / 2 }, (_, k) => 10000 ** (-k / (width / 2)));
  const angles = mul(reshape(places, [count, 1]), constant('float32', [1, width / 2], omega));
  return concat([sin(angles), cos(angles)], 1);
}

/** The stored positions of the patches, interpolated as torch does. size: int64 [2] → [1, L, D]. */
function interpolatedTable(config: ModelConfig, p: Parameters, size: Value, grid: Grid): Value {
  const { embedDim: width } = config;
  const stored = patchGrid(config);
  const patches = slice(p('pos_embed'), 1, 1, 1 + stored.rows * stored.columns);
  const image = transpose(reshape(patches, [1, stored.rows, stored.columns, width]), [0, 3, 1, 2]);
  const sizes = concat([intVector([1, width]), size], 0);
  const resized = resizeCubic(image, sizes, [1, width, grid.rows, grid.columns]);
  return transpose(flattenGrid(resized), [0, 2, 1]);
}
