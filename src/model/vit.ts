/**
 * The Vision Transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021) as the encoder of He et al.:
 * patches of the image, their embedding, and the encoder on all of them.
 */
import { constant } from '../compiler/graph/constant.js';
import type { Value } from '../compiler/graph/graph.js';
import { add, cast, mul } from '../compiler/graph/ops/elementwise.js';
import { concat, expand, pad, reshape, transpose } from '../compiler/graph/ops/movement.js';
import type { ModelConfig } from './config.js';
import { imagenetDeviation, imagenetMean } from './imagenet.js';
import { type BlockOptions, block, layerNorm, linear, type Parameters, type TokenRange } from './layers.js';
import type { OnBlock } from './task.js';

/** [B, H, W, 3] → [B·L, P], each patch flattened row, column, channel. */
export function patchify(images: Value, patch: number): Value {
  const [batch, height, width] = images.shape as [number, number, number, number];
  const [rows, columns] = [height / patch, width / patch];
  const grid = reshape(images, [batch, rows, patch, columns, patch, 3]);
  return reshape(transpose(grid, [0, 1, 3, 2, 4, 5]), [batch * rows * columns, patch * patch * 3]);
}

/** uint8 […, P] → float32 (x/255 − mean) / deviation; the channel is the last, fastest axis of a patch. */
export function normalize(patches: Value): Value {
  const size = patches.shape.at(-1)!;
  const factor = Float32Array.from({ length: size }, (_, i) => 1 / (255 * imagenetDeviation[i % 3]!));
  const offset = Float32Array.from(
    { length: size },
    (_, i) => -imagenetMean[i % 3]! / imagenetDeviation[i % 3]!,
  );
  const scaled = mul(cast(patches, 'float32'), constant('float32', [size], factor));
  return add(scaled, constant('float32', [size], offset));
}

/** float32 [B, K, P] in (row, column, channel) order → [B, K, D]; the weight is stored (channel, row, column). */
export function embedPatches(patches: Value, p: Parameters): Value {
  const [batch, count, size] = patches.shape as [number, number, number];
  const pixels = reshape(patches, [batch * count, size / 3, 3]);
  const channelsFirst = reshape(transpose(pixels, [0, 2, 1]), [batch, count, size]);
  const flat: Parameters = (name) =>
    name.endsWith('.weight') ? reshape(p(name), [p(name).shape[0]!, size]) : p(name);
  return linear(channelsFirst, flat, 'patch_embed.proj');
}

export interface BlocksOptions {
  readonly onBlock?: OnBlock | undefined;
  /** The tokens that are read afterwards, all where not given: the last block gives no others. */
  readonly read?: TokenRange | undefined;
  /** Of each block. */
  readonly dropPath?: ((block: number) => BlockOptions['dropPath']) | undefined;
}

/** The transformer blocks over tokens, without the norm after them. x: [B, T, D] → [B, T, D], or fewer tokens. */
export function transformerBlocks(
  config: ModelConfig,
  p: Parameters,
  x: Value,
  { onBlock, read, dropPath }: BlocksOptions = {},
): Value {
  const { depth, numHeads, layerNormEps } = config;
  for (let i = 0; i < depth; i++) {
    const y = block(x, p, `blocks.${i}`, {
      heads: numHeads,
      epsilon: layerNormEps,
      read: i === depth - 1 ? read : undefined,
      dropPath: dropPath?.(i),
    });
    onBlock?.(x, y);
    x = y;
  }
  return x;
}

/** The transformer blocks over tokens and the norm after them. x: [B, T, D] → [B, T, D]. */
export function forwardBlocks(config: ModelConfig, p: Parameters, x: Value, onBlock?: OnBlock): Value {
  return layerNorm(transformerBlocks(config, p, x, { onBlock }), p, 'norm', config.layerNormEps);
}

/** The tokens of all patches of an image in their order, with positions. patches: float32 [B, L, P] → [B, 1 + L, D]. */
export function patchTokens(config: ModelConfig, p: Parameters, patches: Value): Value {
  const cls = expand(p('cls_token'), [patches.shape[0]!, 1, config.embedDim]);
  return add(concat([cls, embedPatches(patches, p)], 1), p('pos_embed'));
}

/**
 * The transformer to take away: pixelValues float32 [B, 3, H, W], normalised → tokens of the last block [B, 1 + L, D]
 * before the norm, in the order of the image. Every reshape keeps B in front, so the model runs with any batch size.
 */
export function vitTokens(config: ModelConfig, p: Parameters, pixelValues: Value): Value {
  const { patchSize: patch } = config;
  const [batch, , height, width] = pixelValues.shape as [number, number, number, number];
  const [rows, columns] = [height / patch, width / patch];
  const grid = reshape(pixelValues, [batch, 3, rows, patch, columns, patch]);
  const patches = reshape(transpose(grid, [0, 2, 4, 3, 5, 1]), [batch, rows * columns, patch * patch * 3]);
  // the class token enters by padding and adding, for its row has to be repeated for a batch of unknown size
  const positions = add(p('pos_embed'), pad(p('cls_token'), 1, 0, rows * columns));
  return transformerBlocks(config, p, add(pad(embedPatches(patches, p), 1, 1, 0), positions));
}
