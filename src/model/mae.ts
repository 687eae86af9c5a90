/**
 * The Masked Autoencoder of He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022.
 *
 * B images, L patches, K of them visible, P = patch²·3 numbers in a patch, D encoder width, E decoder width.
 * Patches are shuffled once, as rows of the input; tokens stay in shuffled order through the decoder, with
 * positions gathered to match. Attention does not care about order, so this is the paper's model, while
 * "visible" and "removed" are contiguous slices and the backward pass has no gather or scatter.
 */
import { constant, scalarLike } from '../compiler/graph/constant.js';
import { input, type Value } from '../compiler/graph/graph.js';
import { add, cast, div, mul, scale, shift, sqrt, square, sub } from '../compiler/graph/ops/elementwise.js';
import { concat, expand, gather, pad, reshape, slice, transpose } from '../compiler/graph/ops/movement.js';
import { reduceMean, reduceSum } from '../compiler/graph/ops/reduction.js';
import { imageSize, type ModelConfig, patchCount } from './config.js';
import { imagenetDeviation, imagenetMean } from './imagenet.js';
import { type BlockOptions, block, layerNorm, linear, type Parameters, type TokenRange } from './layers.js';

/** What the host sends each step. */
export interface MaeInputs {
  /** uint8 [B, H, W, 3] */
  readonly images: Value;
  /** int64 [B, L]: a random permutation of the patches for each image; the first K stay visible. */
  readonly idsShuffle: Value;
}

export function maeInputs(config: ModelConfig, batchSize: number): MaeInputs {
  const { height, width } = imageSize(config);
  return {
    images: input('images', 'uint8', [batchSize, height, width, 3]),
    idsShuffle: input('ids_shuffle', 'int64', [batchSize, patchCount(config)]),
  };
}

/** uint8 [B, H, W, 3] → [B·L, P], each patch flattened row, column, channel. */
function patchify(images: Value, patch: number): Value {
  const [batch, height, width] = images.shape as [number, number, number, number];
  const [rows, columns] = [height / patch, width / patch];
  const grid = reshape(images, [batch, rows, patch, columns, patch, 3]);
  return reshape(transpose(grid, [0, 1, 3, 2, 4, 5]), [batch * rows * columns, patch * patch * 3]);
}

/** Patches in shuffled order, uint8 [B, L, P]. A gather of an input: nothing flows back through it. */
function shufflePatches({ images, idsShuffle }: MaeInputs, config: ModelConfig): Value {
  const [batch, patches] = idsShuffle.shape as [number, number];
  const firstRow = BigInt64Array.from({ length: batch }, (_, b) => BigInt(b * patches));
  return gather(patchify(images, config.patchSize), add(idsShuffle, constant('int64', [batch, 1], firstRow)));
}

/** uint8 […, P] → float32 (x/255 − mean) / deviation; the channel is the last, fastest axis of a patch. */
function normalize(patches: Value): Value {
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
function embedPatches(patches: Value, p: Parameters): Value {
  const [batch, count, size] = patches.shape as [number, number, number];
  const pixels = reshape(patches, [batch * count, size / 3, 3]);
  const channelsFirst = reshape(transpose(pixels, [0, 2, 1]), [batch, count, size]);
  const flat: Parameters = (name) =>
    name.endsWith('.weight') ? reshape(p(name), [p(name).shape[0]!, size]) : p(name);
  return linear(channelsFirst, flat, 'patch_embed.proj');
}

/** Rows of a position table for [cls, patches in shuffled order]: [1, 1 + L, W] → [B, 1 + L, W]. */
function shufflePositions(table: Value, idsShuffle: Value, count: number): Value {
  const batch = idsShuffle.shape[0]!;
  const first = constant('int64', [batch, 1], new BigInt64Array(batch));
  const one = scalarLike(idsShuffle, 1);
  const rows = concat([first, add(slice(idsShuffle, 1, 0, count), one)], 1);
  return gather(reshape(table, table.shape.slice(1)), rows);
}

/** Is told of each transformer block, x to y, in order. */
export type OnBlock = (x: Value, y: Value) => void;

function encoderBlock({ numHeads, layerNormEps }: ModelConfig): BlockOptions {
  return { heads: numHeads, epsilon: layerNormEps };
}

/** The encoder on the first K patches. shuffled: uint8 [B, L, P] → latent [B, 1 + K, D]. */
export function forwardEncoder(
  config: ModelConfig,
  p: Parameters,
  shuffled: Value,
  idsShuffle: Value,
  kept: number,
  onBlock?: OnBlock,
): Value {
  const batch = shuffled.shape[0]!;
  const visible = embedPatches(normalize(slice(shuffled, 1, 0, kept)), p); // [B, K, D]
  const cls = expand(p('cls_token'), [batch, 1, config.embedDim]);
  let x = add(concat([cls, visible], 1), shufflePositions(p('pos_embed'), idsShuffle, kept));
  for (let i = 0; i < config.depth; i++) {
    const y = block(x, p, `blocks.${i}`, encoderBlock(config));
    onBlock?.(x, y);
    x = y;
  }
  return layerNorm(x, p, 'norm', config.layerNormEps);
}

/**
 * The decoder over the class token and the first N patches, before its final norm; those after the K visible ones
 * are mask tokens. Only the tokens of `read` leave the last block's attention. latent: [B, 1 + K, D] → [B, R, E].
 */
function forwardDecoder(
  config: ModelConfig,
  p: Parameters,
  latent: Value,
  idsShuffle: Value,
  count: number,
  read: TokenRange,
  onBlock?: OnBlock,
): Value {
  const batch = idsShuffle.shape[0]!;
  const embedded = linear(latent, p, 'decoder_embed'); // [B, 1 + K, E]
  const masked = 1 + count - embedded.shape[1]!;
  const masks = expand(p('mask_token'), [batch, masked, config.decoderEmbedDim]);
  let x = add(concat([embedded, masks], 1), shufflePositions(p('decoder_pos_embed'), idsShuffle, count));
  for (let i = 0; i < config.decoderDepth; i++) {
    const isLast = i === config.decoderDepth - 1;
    const y = block(x, p, `decoder_blocks.${i}`, {
      heads: config.decoderNumHeads,
      epsilon: config.layerNormEps,
      read: isLast ? read : undefined,
    });
    onBlock?.(x, y);
    x = y;
  }
  return x;
}

/** Pixels predicted for some tokens. […, E] → […, P]. */
function predict(config: ModelConfig, p: Parameters, x: Value): Value {
  return linear(layerNorm(x, p, 'decoder_norm', config.layerNormEps), p, 'decoder_pred');
}

/** What the decoder should predict. uint8 [B, N, P] → float32 [B, N, P]. */
function targets(patches: Value, normPixLoss: boolean): Value {
  const pixels = normalize(patches);
  if (!normPixLoss) return pixels;
  // each patch by its own mean and unbiased variance: (x − mean) / √(var + 1e-6)
  const size = pixels.shape.at(-1)!;
  const centered = sub(pixels, reduceMean(pixels, [-1], true));
  const variance = scale(reduceSum(square(centered), [-1], true), 1 / (size - 1));
  return div(centered, sqrt(shift(variance, 1e-6)));
}

/** Mean squared error for each image. [B, N, P] → [B]. */
function imageLosses(pred: Value, target: Value): Value {
  return reduceMean(square(sub(pred, target)), [1, 2]);
}

export interface MaeOptions {
  /** K: how many patches of an image the encoder sees. */
  readonly kept: number;
  readonly normPixLoss: boolean;
}

export interface MaeLossOptions extends MaeOptions {
  /** How many of the removed patches the decoder and the loss see; all L − K where not given. */
  readonly predicted?: number | undefined;
  readonly onBlock?: OnBlock | undefined;
}

/**
 * The training loss, a scalar. Only removed patches pass the last block's MLP and the head, for the loss reads no
 * others. Where not all are
 * predicted, those that are come first: in a random permutation they are a uniform sample, drawn anew each step. The
 * decoder gets no token of the rest (Wang et al., "VideoMAE V2: Scaling Video Masked Autoencoders with Dual
 * Masking", CVPR 2023).
 */
export function maeLoss(
  config: ModelConfig,
  p: Parameters,
  inputs: MaeInputs,
  options: MaeLossOptions,
): Value {
  const { idsShuffle } = inputs;
  const { kept, predicted = patchCount(config) - kept, onBlock } = options;
  const end = kept + predicted;
  const shuffled = shufflePatches(inputs, config);
  const latent = forwardEncoder(config, p, shuffled, idsShuffle, kept, onBlock);
  const decoded = forwardDecoder(config, p, latent, idsShuffle, end, [1 + kept, 1 + end], onBlock);
  const pred = predict(config, p, decoded);
  const target = targets(slice(shuffled, 1, kept, end), options.normPixLoss);
  return reduceMean(imageLosses(pred, target), [0]);
}

/** loss: scalar; imageLoss: [B]; pred: [B, L, P] for every patch, visible ones too, in shuffled order. */
export function maeEvaluation(config: ModelConfig, p: Parameters, inputs: MaeInputs, options: MaeOptions) {
  const { idsShuffle } = inputs;
  const { kept } = options;
  const patches = patchCount(config);
  const shuffled = shufflePatches(inputs, config);
  const latent = forwardEncoder(config, p, shuffled, idsShuffle, kept);
  const decoded = forwardDecoder(config, p, latent, idsShuffle, patches, [1, 1 + patches]);
  const pred = predict(config, p, decoded);
  const target = targets(slice(shuffled, 1, kept, patches), options.normPixLoss);
  const imageLoss = imageLosses(slice(pred, 1, kept, patches), target);
  return { loss: reduceMean(imageLoss, [0]), imageLoss, pred };
}

/** The encoder of the training graph on every patch of uint8 images: [B, H, W, 3] → [B, 1 + L, D]. */
export function maeLatent(config: ModelConfig, p: Parameters, inputs: MaeInputs): Value {
  return forwardEncoder(config, p, shufflePatches(inputs, config), inputs.idsShuffle, patchCount(config));
}

/**
 * The encoder to take away: pixelValues float32 [B, 3, H, W], normalised → last hidden state [B, 1 + L, D] in
 * the order of the image. Every reshape keeps B in front, so the model runs with any batch size.
 */
export function maeEncoder(config: ModelConfig, p: Parameters, pixelValues: Value): Value {
  const { patchSize: patch } = config;
  const [batch, , height, width] = pixelValues.shape as [number, number, number, number];
  const [rows, columns] = [height / patch, width / patch];
  const grid = reshape(pixelValues, [batch, 3, rows, patch, columns, patch]);
  const patches = reshape(transpose(grid, [0, 2, 4, 3, 5, 1]), [batch, rows * columns, patch * patch * 3]);
  // the class token enters by padding and adding, for its row has to be repeated for a batch of unknown size
  const positions = add(p('pos_embed'), pad(p('cls_token'), 1, 0, rows * columns));
  let x = add(pad(embedPatches(patches, p), 1, 1, 0), positions);
  for (let i = 0; i < config.depth; i++) x = block(x, p, `blocks.${i}`, encoderBlock(config));
  return layerNorm(x, p, 'norm', config.layerNormEps);
}
