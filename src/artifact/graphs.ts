import { gradients } from '../compiler/autodiff/gradients.js';
import { type Graph, input, type Value } from '../compiler/graph/graph.js';
import { add, sqrt } from '../compiler/graph/ops/elementwise.js';
import { sumOfSquares } from '../compiler/graph/ops/fused.js';
import { reshape, slice } from '../compiler/graph/ops/movement.js';
import { reduceMean } from '../compiler/graph/ops/reduction.js';
import { type Block, checkpointBlocks } from '../compiler/lowering/checkpoint-blocks.js';
import { recomputeActivations } from '../compiler/lowering/recompute.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import type { Parameters } from '../model/layers.js';
import {
  type MaeLossOptions,
  type MaeOptions,
  maeEncoder,
  maeEvaluation,
  maeInputs,
  maeLatent,
  maeLoss,
} from '../model/mae.js';
import { encoderParameters, maeParameters, type ParameterSpec } from '../model/parameters.js';

/** Parameters as graph inputs, in the order of the model. */
export function parameterInputs(specs: readonly ParameterSpec[]): {
  values: Map<string, Value>;
  p: Parameters;
} {
  const values = new Map(specs.map(({ name, shape }) => [name, input(name, 'float32', shape)]));
  const p = (name: string): Value => {
    const value = values.get(name);
    if (value === undefined) throw new Error(`parameterInputs: the model has no parameter ${name}`);
    return value;
  };
  return { values, p };
}

/**
 * √Σ g² over all gradients. The terms are added one by one in the order of the backward pass: ONNX Runtime orders
 * nodes depth first from this last output, so each weight gradient runs when the pass comes by, and what it reads is
 * freed.
 */
function gradientNorm(all: Iterable<Value>): Value {
  const squares = [...all].map(sumOfSquares);
  return sqrt(squares.reduce((sum, square) => add(sum, square)));
}

/**
 * Forward and backward in one graph.
 *
 * Inputs: images, ids_shuffle, loss_scale (scalar, the gradient of the loss), the parameters and, with
 * `accumulate`, `<parameter>_grad.accumulation.buffer`. Outputs: loss, `<parameter>_grad` in the order the
 * backward pass makes them, gradient_norm.
 *
 * @param options gradCheckpointing: keep only each transformer block's input, and make the rest again.
 */
export function trainingGraph(
  config: ModelConfig,
  batchSize: number,
  options: MaeLossOptions & { accumulate: boolean; gradCheckpointing?: boolean | undefined },
): Graph {
  const specs = maeParameters(config);
  const { values, p } = parameterInputs(specs);
  const inputs = maeInputs(config, batchSize);
  const lossScale = input('loss_scale', 'float32', []);
  const blocks: Block[] = [];
  const loss = maeLoss(config, p, inputs, { ...options, onBlock: (x, y) => blocks.push({ x, y }) });
  const trained = specs.filter(({ group }) => group !== 'fixed').map(({ name }) => p(name));
  const running = new Map<Value, Value>();
  if (options.accumulate) {
    for (const value of trained) {
      running.set(value, input(`${gradientName(value)}.accumulation.buffer`, 'float32', value.shape));
    }
  }
  const gradientOf = gradients(loss, lossScale, trained, running);
  const graph: Graph = {
    name: 'training_model',
    inputs: [inputs.images, inputs.idsShuffle, lossScale, ...values.values(), ...running.values()],
    outputs: [
      { name: 'loss', value: loss },
      ...[...gradientOf].map(([parameter, value]) => ({ name: gradientName(parameter), value })),
      { name: 'gradient_norm', value: gradientNorm(gradientOf.values()) },
    ],
  };
  const recomputed = recomputeActivations(graph, [loss]);
  return options.gradCheckpointing ? checkpointBlocks(recomputed, [loss], blocks) : recomputed;
}

export function gradientName(parameter: Value): string {
  if (parameter.source.kind !== 'input') throw new Error('gradientName: expected a parameter');
  return `${parameter.source.name}_grad`;
}

/** Outputs: loss (scalar), image_loss [B], pred [B, L, P] in shuffled order. */
export function evalGraph(config: ModelConfig, batchSize: number, options: MaeOptions): Graph {
  const { values, p } = parameterInputs(maeParameters(config));
  const inputs = maeInputs(config, batchSize);
  const { loss, imageLoss, pred } = maeEvaluation(config, p, inputs, options);
  return {
    name: 'eval_model',
    inputs: [inputs.images, inputs.idsShuffle, ...values.values()],
    outputs: [
      { name: 'loss', value: loss },
      { name: 'image_loss', value: imageLoss },
      { name: 'pred', value: pred },
    ],
  };
}

/** The evaluation graph's encoder on every patch. Output: latent [B, 1 + L, D] in shuffled order. */
export function latentGraph(config: ModelConfig, batchSize: number): Graph {
  const { values, p } = parameterInputs(encoderParameters(config));
  const inputs = maeInputs(config, batchSize);
  const latent = maeLatent(config, p, inputs);
  return {
    name: 'latent_model',
    inputs: [inputs.images, inputs.idsShuffle, ...values.values()],
    outputs: [{ name: 'latent', value: latent }],
  };
}

export type Pool = 'cls' | 'mean' | 'none';

/** The exported encoder. pixel_values [batch, 3, H, W] → features [batch, D], or last_hidden_state [batch, 1 + L, D]. */
export function encoderGraph(config: ModelConfig, pool: Pool): Graph {
  const { values, p } = parameterInputs(encoderParameters(config));
  const { height, width } = imageSize(config);
  const pixelValues = input('pixel_values', 'float32', [1, 3, height, width]);
  const hidden = maeEncoder(config, p, pixelValues);
  return {
    name: 'encoder',
    inputs: [pixelValues, ...values.values()],
    outputs: [pooled(hidden, pool)],
  };
}

/** The class token, the mean of the patch tokens, or all tokens. hidden: [B, 1 + L, D]. */
function pooled(hidden: Value, pool: Pool): { name: string; value: Value } {
  const [batch, tokens, width] = hidden.shape as [number, number, number];
  switch (pool) {
    case 'none':
      return { name: 'last_hidden_state', value: hidden };
    case 'cls':
      return { name: 'features', value: reshape(slice(hidden, 1, 0, 1), [batch, width]) };
    case 'mean':
      return { name: 'features', value: reduceMean(slice(hidden, 1, 1, tokens), [1]) };
  }
}
