/**
 * The encoder with a head that tells classes, as He et al. judge it: fine-tuned with all of its weights (appendix A.1), or
 * frozen below a linear probe.
 *
 * B images, L patches, D encoder width, C classes.
 */
import { scalarLike } from '../compiler/graph/constant.js';
import type { GraphOutput, Value } from '../compiler/graph/graph.js';
import {
  add,
  cast,
  div,
  less,
  mul,
  scale,
  shift,
  sqrt,
  square,
  sub,
} from '../compiler/graph/ops/elementwise.js';
import { reshape, slice } from '../compiler/graph/ops/movement.js';
import { reduceMean, reduceSum } from '../compiler/graph/ops/reduction.js';
import {
  batchNormEpsilon,
  type ClassifierPool,
  classifierMetadata,
  fixedEncoder,
  headParameters,
  runningMean,
  runningVariance,
  tunedEncoder,
} from './classifier-parameters.js';
import { imageSize, layerNormEps, type ModelConfig, patchCount } from './config.js';
import { crossEntropies } from './cross-entropy.js';
import { layerNorm, linear, type Parameters, type TokenRange } from './layers.js';
import { mixPixels, mixTargets } from './mix.js';
import type { Batch, BatchInput, OnBlock, OnBuffer, Task } from './task.js';
import { normalize, patchify, patchTokens, transformerBlocks } from './vit.js';

interface ClassifierChoices {
  /** The names of the classes, in the order of the head's rows. */
  readonly classes: readonly string[];
  readonly pool: ClassifierPool;
  /** The part of an image that evaluation sees, for who predicts with the model; not said where not given. */
  readonly evaluationCrop?: number | undefined;
}

export interface FinetuneChoices extends ClassifierChoices {
  /** What the learning rate is multiplied by from each layer to the one below it. */
  readonly layerDecay: number;
  /** The share of the target that all classes have in equal parts (Szegedy et al., 2016). */
  readonly smoothing: number;
  /** What the loader brings beside pixels and classes. */
  readonly hasDropPath: boolean;
  readonly hasMix: boolean;
  readonly hasErasing: boolean;
}

/** What is done to a batch of training alone. */
type Training = Partial<Pick<FinetuneChoices, 'hasDropPath' | 'hasMix' | 'hasErasing'>> & {
  readonly onBlock?: OnBlock | undefined;
};

/**
 * All weights learn, the positions too. The mean of the patch tokens gets a norm of its own, `fc_norm`, instead of the
 * encoder's, the class token keeps the encoder's.
 */
export function finetuneTask(config: ModelConfig, choices: FinetuneChoices): Task {
  const { classes, pool, smoothing, layerDecay } = choices;
  const logits = (p: Parameters, batch: Batch, training?: Training): Value =>
    linear(tunedFeatures(config, p, batch, pool, training), p, 'head');
  return {
    ...commonOf(config, choices, { smoothing }),
    parameters: [...tunedEncoder(config, pool, layerDecay), ...headParameters(config, classes.length, 2e-5)],
    inputs: (batchSize) => trainingInputs(config, batchSize, choices),
    loss: (p, batch, onBlock) => {
      const targets = smoothed(batch('targets'), smoothing);
      const mixed = choices.hasMix ? mixTargets(targets, batch('mix')) : targets;
      return reduceMean(crossEntropies(logits(p, batch, { ...choices, onBlock }), mixed), [0]);
    },
    evaluation: (p, batch) => evaluationOf(logits(p, batch), batch('targets')),
  };
}

/** What the head of a fine-tuned classifier reads. → [B, D] */
export function tunedFeatures(
  config: ModelConfig,
  p: Parameters,
  batch: Batch,
  pool: ClassifierPool,
  training?: Training,
): Value {
  const pooled = reduceMean(forwardTokens(config, p, batch, pool, training), [1]); // [B, D]
  return layerNorm(pooled, p, pool === 'mean' ? 'fc_norm' : 'norm', layerNormEps(config));
}

/**
 * A linear layer learns, on the frozen features of the encoder and batch norm without weights of its own. No gradient
 * reaches the encoder, so its backward pass is not computed.
 */
export function linprobeTask(config: ModelConfig, choices: ClassifierChoices): Task {
  const features = (p: Parameters, batch: Batch): Value => {
    const tokens = forwardTokens(config, p, batch, choices.pool);
    return reduceMean(layerNorm(tokens, p, 'norm', layerNormEps(config)), [1]); // [B, D]
  };
  return {
    ...commonOf(config, choices, {}),
    parameters: [...fixedEncoder(config), ...headParameters(config, choices.classes.length, 0.01)],
    inputs: (batchSize) => imagesAndTargets(config, batchSize, choices),
    loss: (p, batch, _, onBuffer) => {
      const logits = linear(batchNorm(features(p, batch), p, onBuffer), p, 'head');
      return reduceMean(crossEntropies(logits, batch('targets')), [0]);
    },
    evaluation: (p, batch) => {
      const standard = standardize(features(p, batch), p(runningMean), p(runningVariance));
      return evaluationOf(linear(standard, p, 'head'), batch('targets'));
    },
  };
}

function commonOf(
  config: ModelConfig,
  choices: ClassifierChoices,
  options: Task['options'],
): Pick<Task, 'name' | 'model' | 'options' | 'metadata' | 'evaluationInputs'> {
  const { classes } = choices;
  return {
    name: 'classifier',
    model: config,
    options: { classes: classes.length, ...options },
    metadata: classifierMetadata(choices),
    evaluationInputs: (batchSize) => imagesAndTargets(config, batchSize, { classes }),
  };
}

function imagesAndTargets(
  config: ModelConfig,
  batchSize: number,
  { classes }: Pick<ClassifierChoices, 'classes'>,
): BatchInput[] {
  const { height, width } = imageSize(config);
  return [
    { name: 'images', type: 'uint8', shape: [batchSize, height, width, 3], content: 'pixels' },
    { name: 'targets', type: 'float32', shape: [batchSize, classes.length], content: 'class' },
  ];
}

function trainingInputs(config: ModelConfig, batchSize: number, choices: FinetuneChoices): BatchInput[] {
  const { height, width } = imageSize(config);
  const float = (name: string, shape: readonly number[], content: BatchInput['content']): BatchInput => ({
    name,
    type: 'float32',
    shape: [batchSize, ...shape],
    content,
  });
  return [
    ...imagesAndTargets(config, batchSize, choices),
    ...(choices.hasErasing ? [float('erasing', [height, width, 3], 'erasing')] : []),
    ...(choices.hasMix ? [float('mix', [2 + height + width], 'mix')] : []),
    ...(choices.hasDropPath ? [float('drop_path', [2 * config.depth], 'drop-path')] : []),
  ];
}

/** What the head reads of the last block, before its norm: [B, 1, D], the class token, or [B, L, D], the patches'. */
function forwardTokens(
  config: ModelConfig,
  p: Parameters,
  batch: Batch,
  pool: ClassifierPool,
  { hasDropPath = false, onBlock, ...training }: Training = {},
): Value {
  const patches = patchCount(config);
  const read: TokenRange = pool === 'cls' ? [0, 1] : [1, 1 + patches];
  const pixels = normalizedPixels(batch, training);
  const size = 3 * config.patchSize ** 2;
  const rows = reshape(patchify(pixels, config.patchSize), [pixels.shape[0]!, patches, size]);
  return transformerBlocks(config, p, patchTokens(config, p, rows), {
    onBlock,
    read,
    dropPath: hasDropPath ? (block) => residualFactors(batch('drop_path'), block) : undefined,
  });
}

/** Normalised images, erased and mixed where training asks for it: float32 [B, H, W, 3]. */
function normalizedPixels(batch: Batch, { hasErasing = false, hasMix = false }: Training): Value {
  const images = batch('images');
  const [count, height, width] = images.shape as [number, number, number];
  const rows = [count, height, width * 3]; // long rows, for the sake of broadcasting
  let pixels = normalize(reshape(images, rows));
  if (hasErasing) pixels = add(pixels, reshape(batch('erasing'), rows));
  if (hasMix) pixels = mixPixels(pixels, batch('mix'));
  return reshape(pixels, images.shape);
}

/** What the two residuals of a block are multiplied by, each [B, 1, 1]. */
function residualFactors(dropPath: Value, block: number): readonly [Value, Value] {
  const factor = (i: number) => reshape(slice(dropPath, 1, i, i + 1), [dropPath.shape[0]!, 1, 1]);
  return [factor(2 * block), factor(2 * block + 1)];
}

/** s/C off the class, 1 − s + s/C on it. [B, C] → [B, C]. */
function smoothed(oneHot: Value, smoothing: number): Value {
  if (smoothing === 0) return oneHot;
  return shift(scale(oneHot, 1 - smoothing), smoothing / oneHot.shape[1]!);
}

/** As in PyTorch's BatchNorm1d: the share of the new in running statistics. */
const momentum = 0.1;

/** Features less the batch's mean, over its deviation (biased); the running statistics get the unbiased one. [B, D] */
function batchNorm(features: Value, p: Parameters, onBuffer: OnBuffer | undefined): Value {
  const count = features.shape[0]!;
  const mean = reduceMean(features, [0]);
  const variance = reduceMean(square(sub(features, mean)), [0]);
  const next = (name: string, value: Value) =>
    onBuffer?.(name, add(scale(p(name), 1 - momentum), scale(value, momentum)));
  next(runningMean, mean);
  next(runningVariance, scale(variance, count / Math.max(1, count - 1)));
  return standardize(features, mean, variance);
}

function standardize(features: Value, mean: Value, variance: Value): Value {
  return div(sub(features, mean), sqrt(shift(variance, batchNormEpsilon)));
}

/** loss: scalar; image_loss, top1 and, where there are more classes than five, top5: [B]; logits: [B, C]. */
function evaluationOf(logits: Value, targets: Value): GraphOutput[] {
  const losses = crossEntropies(logits, targets);
  return [
    { name: 'loss', value: reduceMean(losses, [0]) },
    { name: 'image_loss', value: losses },
    { name: 'top1', value: isAmongFirst(logits, targets, 1) },
    ...(targets.shape[1]! > 5 ? [{ name: 'top5', value: isAmongFirst(logits, targets, 5) }] : []),
    { name: 'logits', value: logits },
  ];
}

/**
 * 1 where all classes but the first k are below the target's, else 0: of equal logits the target's comes last, and where
 * one is no number nothing is right. [B, C], one-hot [B, C] → [B].
 */
function isAmongFirst(logits: Value, oneHot: Value, k: number): Value {
  const ofTarget = reduceSum(mul(logits, oneHot), [-1], true); // [B, 1]
  const below = reduceSum(cast(less(logits, ofTarget), 'float32'), [-1]); // [B]
  return cast(less(scalarLike(below, logits.shape[1]! - k - 0.5), below), 'float32');
}
