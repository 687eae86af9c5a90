import type { GraphOutput, Value } from '../compiler/graph/graph.js';
import type { Shape } from '../util/shape.js';
import type { NumberType } from '../util/typed-arrays.js';
import type { ModelConfig } from './config.js';
import type { Parameters } from './layers.js';
import type { ParameterSpec } from './parameters.js';

/** What is learnt from images: a model's parameters, what a batch brings, the loss, and what evaluation shows. */
export interface Task {
  readonly name: string;
  readonly model: ModelConfig;
  /** Choices that shape its graphs, as the manifest keeps them. */
  readonly options: TaskOptions;
  /** What a file of its weights says of it beside the model, as text. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly parameters: readonly ParameterSpec[];
  inputs(batchSize: number): readonly BatchInput[];
  /** Inputs of evaluation, where they are not those of training. */
  evaluationInputs?(batchSize: number): readonly BatchInput[];
  /** The training loss, a scalar: the mean over the images of a batch. */
  loss(p: Parameters, batch: Batch, onBlock?: OnBlock, onBuffer?: OnBuffer): Value;
  /** Named outputs that change nothing; one is `image_loss`, [B]. */
  evaluation(p: Parameters, batch: Batch): readonly GraphOutput[];
}

export type TaskOptions = Readonly<Record<string, number | boolean>>;

/** The inputs of a batch by their names. */
export type Batch = (name: string) => Value;

/** Is told of each transformer block, from x to y, in order. */
export type OnBlock = (x: Value, y: Value) => void;

/**
 * Is told what a `fixed` parameter is after the batch, of its shape: batch norm's running statistics, which no gradient
 * moves. It may be computed from what the parameter is before.
 */
export type OnBuffer = (name: string, next: Value) => void;

/** An input of a task's graphs, and what the loader writes into it for each image. */
export interface BatchInput {
  readonly name: string;
  readonly type: NumberType;
  /** The batch comes first. */
  readonly shape: Shape;
  readonly content: Content;
}

/**
 * - `pixels`: the image after augmentation, uint8 [B, H, W, 3];
 * - `permutation`: a random order of the numbers below N, int64 [B, N];
 * - `class`: 1 at the class of the image and 0 elsewhere, float32 [B, classes];
 * - `erasing`: what random erasing adds to the normalised image, float32 [B, H, W, 3]: zeros beside the erased box, where
 *   the pixels are 0;
 * - `mix`: how the batch is mixed with itself backwards, float32 [B, 2 + H + W]: the partner's share of the target, its
 *   share s of the pixels of a box, and the box as r [H] and c [W], so that pixel (y, x) has the share s·r[y]·c[x];
 * - `drop-path`: what each residual of each block is multiplied by, float32 [B, 2·depth]: 0, or 1 / (1 − p).
 */
export type Content = 'pixels' | 'permutation' | 'class' | 'erasing' | 'mix' | 'drop-path';
