/**
 * The Masked Autoencoder of He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022.
 *
 * B images, L patches, K of them visible, P = patch²·3 numbers in a patch, D encoder width, E decoder width.
 * Patches are shuffled once, as rows of the input; tokens stay in shuffled order through the decoder, with
 * positions gathered to match. Attention does not care about order, so this is the paper's model, while
 * "visible" and "removed" are contiguous slices and the backward pass has no gather or scatter.
 */
import { constant, scalarLike } from '../compiler/graph/constant.js';
import type { GraphOutput, Value } from '../compiler/graph/graph.js';
import { add, div, scale, shift, sqrt, square, sub } from '../compiler/graph/ops/elementwise.js';
import { concat, expand, gather, reshape, slice } from '../compiler/graph/ops/movement.js';
import { reduceMean, reduceSum } from '../compiler/graph/ops/reduction.js';
import { type ModelConfig, patchCount } from './config.js';
import { block, layerNorm, linear, type Parameters, type TokenRange } from './layers.js';
import { checkedKeptCount, checkedPredictedCount, type MaeOptions, maeInputs, maeMetadata } from './mask.js';
import { maeParameters } from './parameters.js';
import type { Batch, OnBlock, Task } from './task.js';
import { embedPatches, forwardBlocks, normalize, patchify } from './vit.js';

export interface MaeChoices {
  /** Share of the patches removed, at least one and not all. */
  readonly maskRatio: number;
  /** Share of the removed patches that training predicts, at least one of them; all where not given. */
  readonly predictRatio?: number | undefined;
  readonly normPixLoss: boolean;
}

/** A UserError where a ratio leaves nothing to see or nothing to predict. */
export function maeTask(config: ModelConfig, choices: MaeChoices): Task & { readonly options: MaeOptions } {
  const { maskRatio, predictRatio, normPixLoss } = choices;
  const patches = patchCount(config);
  const kept = checkedKeptCount(config, maskRatio);
  const predicted = checkedPredictedCount(config, kept, predictRatio);
  const isPart = predicted < patches - kept;
  const options = { maskRatio, patches, kept, ...(isPart && { predicted }), normPixLoss };
  return {
    name: 'mae',
    model: config,
    options,
    metadata: maeMetadata(options),
    parameters: maeParameters(config),
    inputs: (batchSize) => maeInputs(config, batchSize),
    loss: (p, batch, onBlock) => maeLoss(config, p, batch, options, onBlock),
    evaluation: (p, batch) => maeEvaluation(config, p, batch, options),
  };
}

/** Patches in shuffled order, uint8 [B, L, P]. A gather of an input: nothing flows back through it. */
function shufflePatches(batch: Batch, config: ModelConfig): Value {
  const idsShuffle = batch('ids_shuffle');
  const [images, patches] = idsShuffle.shape as [number, number];
  const firstRow = BigInt64Array.from({ length: images }, (_, b) => BigInt(b * patches));
  const rows = patchify(batch('images'), config.patchSize);
  return gather(rows, add(idsShuffle, constant('int64', [images, 1], firstRow)));
}

/** Rows of a position table for [cls, patches in shuffled order]: [1, 1 + L, W] → [B, 1 + L, W]. */
function shufflePositions(table: Value, idsShuffle: Value, count: number): Value {
  const batch = idsShuffle.shape[0]!;
  const first = constant('int64', [batch, 1], new BigInt64Array(batch));
  const one = scalarLike(idsShuffle, 1);
  const rows = concat([first, add(slice(idsShuffle, 1, 0, count), one)], 1);
  return gather(reshape(table, table.shape.slice(1)), rows);
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
  const x = add(concat([cls, visible], 1), shufflePositions(p('pos_embed'), idsShuffle, kept));
  return forwardBlocks(config, p, x, onBlock);
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

/**
 * The training loss, a scalar. Only removed patches pass the last block's MLP and the head, for the loss reads no
 * others. Where not all are predicted, those that are come first: in a random permutation they are a uniform sample,
 * drawn anew each step. The decoder gets no token of the rest (Wang et al., "VideoMAE V2: Scaling Video Masked
 * Autoencoders with Dual Masking", CVPR 2023).
 */
function maeLoss(
  config: ModelConfig,
  p: Parameters,
  batch: Batch,
  { patches, kept, predicted = patches - kept, normPixLoss }: MaeOptions,
  onBlock?: OnBlock,
): Value {
  const idsShuffle = batch('ids_shuffle');
  const end = kept + predicted;
  const shuffled = shufflePatches(batch, config);
  const latent = forwardEncoder(config, p, shuffled, idsShuffle, kept, onBlock);
  const decoded = forwardDecoder(config, p, latent, idsShuffle, end, [1 + kept, 1 + end], onBlock);
  const pred = predict(config, p, decoded);
  const target = targets(slice(shuffled, 1, kept, end), normPixLoss);
  return reduceMean(imageLosses(pred, target), [0]);
}

/** loss: scalar; image_loss: [B]; pred: [B, L, P] for every patch, visible ones too, in shuffled order. */
function maeEvaluation(
  config: ModelConfig,
  p: Parameters,
  batch: Batch,
  { patches, kept, normPixLoss }: MaeOptions,
): GraphOutput[] {
  const idsShuffle = batch('ids_shuffle');
  const shuffled = shufflePatches(batch, config);
  const latent = forwardEncoder(config, p, shuffled, idsShuffle, kept);
  const decoded = forwardDecoder(config, p, latent, idsShuffle, patches, [1, 1 + patches]);
  const pred = predict(config, p, decoded);
  const target = targets(slice(shuffled, 1, kept, patches), normPixLoss);
  const imageLoss = imageLosses(slice(pred, 1, kept, patches), target);
  return [
    { name: 'loss', value: reduceMean(imageLoss, [0]) },
    { name: 'image_loss', value: imageLoss },
    { name: 'pred', value: pred },
  ];
}

/** The encoder of the training graph on every patch, in their own order: uint8 [B, H, W, 3] → [B, 1 + L, D]. */
export function maeLatent(config: ModelConfig, p: Parameters, images: Value, onBlock?: OnBlock): Value {
  const [count, patches] = [images.shape[0]!, patchCount(config)];
  const ids = BigInt64Array.from({ length: count * patches }, (_, i) => BigInt(i % patches));
  const inOrder = constant('int64', [count, patches], ids);
  const batch: Batch = (name) => (name === 'images' ? images : inOrder);
  return forwardEncoder(config, p, shufflePatches(batch, config), inOrder, patches, onBlock);
}
