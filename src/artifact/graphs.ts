import { gradients } from '../compiler/autodiff/gradients.js';
import { formatType, type Graph, type GraphOutput, input, type Value } from '../compiler/graph/graph.js';
import { add, sqrt } from '../compiler/graph/ops/elementwise.js';
import { sumOfSquares } from '../compiler/graph/ops/fused.js';
import { concat, reshape, slice } from '../compiler/graph/ops/movement.js';
import { reduceMean } from '../compiler/graph/ops/reduction.js';
import { type Block, checkpointBlocks } from '../compiler/lowering/checkpoint-blocks.js';
import { recomputeActivations } from '../compiler/lowering/recompute.js';
import { firstElement } from '../compiler/lowering/scalar-after.js';
import {
  accumulationName,
  gradientName,
  isGradient,
  lossScaleName,
  nextName,
} from '../compiler/training-names.js';
import { tunedFeatures } from '../model/classifier.js';
import { type EncoderNorm, normedEncoder } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import { layerNorm, type Parameters } from '../model/layers.js';
import { maeLatent } from '../model/mae.js';
import { imageInputs } from '../model/mask.js';
import { isTrained, type ParameterSpec } from '../model/parameters.js';
import type { BatchInput, Task } from '../model/task.js';
import { type Shape, sameShape } from '../util/shape.js';
import { gradientsDoneName } from './manifest.js';

/** Graph inputs, in their order, and by their names. */
function declare(inputs: readonly Pick<BatchInput, 'name' | 'type' | 'shape'>[]): {
  values: Value[];
  byName: Parameters;
} {
  const values = inputs.map(({ name, type, shape }) => input(name, type, shape));
  const byName = new Map(inputs.map(({ name }, index) => [name, values[index]!]));
  return {
    values,
    byName: (name) => {
      const value = byName.get(name);
      if (value === undefined) throw new Error(`declare: expected one of the graph's inputs, got ${name}`);
      return value;
    },
  };
}

/** Parameters as graph inputs, in the order of the model. */
export function declareParameters(specs: readonly ParameterSpec[]) {
  return declare(specs.map(({ name, shape }) => ({ name, type: 'float32', shape })));
}

export const declareBatch = declare;

export interface TrainingGraphOptions {
  readonly batchSize: number;
  /** Whether gradients add to running ones, which are inputs. */
  readonly accumulate: boolean;
  /** Whether only the input of each transformer block is kept, and the rest made again; no where not given. */
  readonly gradCheckpointing?: boolean | undefined;
}

/**
 * Forward and backward in one graph.
 *
 * Inputs: the task's, loss_scale (scalar, the gradient of the loss), the parameters and, with `accumulate`,
 * `<parameter>_grad.accumulation.buffer`. Outputs: loss, `<parameter>_grad` in the order the backward pass makes them, and
 * `<buffer>_next` of each that the task tells.
 */
export function trainingGraph(
  task: Task,
  { batchSize, accumulate, gradCheckpointing }: TrainingGraphOptions,
): Graph {
  const parameters = declareParameters(task.parameters);
  const batch = declareBatch(task.inputs(batchSize));
  const lossScale = input(lossScaleName, 'float32', []);
  const blocks: Block[] = [];
  const buffers = new Map<string, Value>();
  const loss = task.loss(
    parameters.byName,
    batch.byName,
    (x, y) => blocks.push({ x, y }),
    (name, next) => {
      checkBuffer(task, name, next, buffers.has(name));
      buffers.set(name, next);
    },
  );
  const nameOf = new Map(task.parameters.map(({ name }) => [parameters.byName(name), name]));
  const trained = task.parameters.filter(isTrained).map(({ name }) => parameters.byName(name));
  const running = new Map<Value, Value>();
  if (accumulate) {
    for (const value of trained)
      running.set(value, input(accumulationName(nameOf.get(value)!), 'float32', value.shape));
  }
  const gradientOf = gradients(loss, lossScale, trained, running);
  const graph: Graph = {
    name: 'training_model',
    inputs: [...batch.values, lossScale, ...parameters.values, ...running.values()],
    outputs: [
      { name: 'loss', value: loss },
      ...[...gradientOf].map(([parameter, value]) => ({ name: gradientName(nameOf.get(parameter)!), value })),
      ...[...buffers].map(([name, value]) => ({ name: nextName(name), value })),
    ],
  };
  const forward = [loss, ...buffers.values()];
  const recomputed = recomputeActivations(graph, forward);
  return gradCheckpointing ? checkpointBlocks(recomputed, forward, blocks) : recomputed;
}

function checkBuffer({ name: task, parameters }: Task, name: string, next: Value, isKnown: boolean): void {
  const spec = parameters.find((each) => each.name === name);
  if (spec !== undefined && !isTrained(spec) && sameShape(spec.shape, next.shape) && !isKnown) return;
  throw new Error(
    `trainingGraph: expected task ${task} to tell each fixed parameter's next value once, in its shape; got ` +
      `${formatType(next)} for ${name}`,
  );
}

/**
 * A lowered training graph with one more output, gradients_done: a number that takes one of each gradient, in the order of
 * the backward pass. ONNX Runtime orders nodes depth first from the last output: so each weight gradient runs when the
 * pass comes by, and what it reads is freed.
 */
export function oneAfterTheOther(graph: Graph): Graph {
  const gradients = graph.outputs.filter(({ name }) => isGradient(name));
  const done = gradients.map(({ value }) => firstElement(value)).reduce((sum, one) => add(sum, one));
  return { ...graph, outputs: [...graph.outputs, { name: gradientsDoneName, value: done }] };
}

/**
 * √Σ g² over all gradients. Inputs: `<parameter>_grad` of each that is trained. Output: gradient_norm, a scalar.
 *
 * @param gradients in the order of the backward pass, which is that of the sum
 */
export function gradientNormGraph(specs: readonly ParameterSpec[], gradients: readonly string[]): Graph {
  const trained = specs.filter(isTrained).map((spec) => ({ ...spec, name: gradientName(spec.name) }));
  const { byName, values } = declareParameters(trained);
  const norm = sqrt(gradients.map((name) => sumOfSquares(byName(name))).reduce((sum, one) => add(sum, one)));
  return {
    name: 'gradient_norm_model',
    inputs: values,
    outputs: [{ name: 'gradient_norm', value: norm }],
  };
}

/** The task's evaluation: nothing changes. */
export function evaluationGraph(task: Task, batchSize: number): Graph {
  const parameters = declareParameters(task.parameters);
  const batch = declareBatch(task.evaluationInputs?.(batchSize) ?? task.inputs(batchSize));
  return {
    name: 'eval_model',
    inputs: [...batch.values, ...parameters.values],
    outputs: task.evaluation(parameters.byName, batch.byName),
  };
}

/** Names and shapes of a graph's outputs, as the manifest has them. */
export function outputsOf({ outputs }: Graph): { name: string; shape: Shape }[] {
  return outputs.map(({ name, value: { shape } }) => ({ name, shape }));
}

export type Pool = 'cls' | 'mean' | 'none';

export interface FeatureChoices {
  /** The encoder's last norm; that of a mean that was fine-tuned has features of the mean alone. */
  readonly norm?: EncoderNorm | undefined;
  /**
   * Blocks, counted from 1: the means of the patch tokens after each, through the final norm, one after the other in one
   * more output `layers`, [B, D·layers].
   */
  readonly layers?: readonly number[] | undefined;
}

/**
 * The encoder of the training graphs on every patch, in their own order. Inputs: images uint8 [B, H, W, 3] and the
 * parameters; outputs: features by the names of the pools, [B, D], or [B, 1 + L, D] of `none`.
 */
export function featuresGraph(
  config: ModelConfig,
  batchSize: number,
  pools: readonly Pool[],
  { norm = 'norm', layers = [] }: FeatureChoices = {},
): Graph {
  const { byName: p, values } = declareParameters(normedEncoder(config, norm));
  const batch = declareBatch(imageInputs(config, batchSize));
  const inputs = [...batch.values, ...values];
  if (norm === 'fc_norm') {
    const value = tunedFeatures(config, p, batch.byName, 'mean');
    return { name: 'features_model', inputs, outputs: pools.map((name) => ({ name, value })) };
  }
  const blocks: Value[] = [];
  const hidden = maeLatent(config, p, batch.byName('images'), (_, y) => blocks.push(y));
  const means = layers.map((layer) =>
    pooled(layerNorm(blocks[layer - 1]!, p, 'norm', config.layerNormEps), 'mean'),
  );
  const outputs = pools.map((pool): GraphOutput => ({ name: pool, value: pooled(hidden, pool) }));
  if (means.length > 0) outputs.push({ name: 'layers', value: concat(means, 1) });
  return { name: 'features_model', inputs, outputs };
}

/** The class token, the mean of the patch tokens, or all tokens. hidden: [B, 1 + L, D]. */
export function pooled(hidden: Value, pool: Pool): Value {
  const [batch, tokens, width] = hidden.shape as [number, number, number];
  switch (pool) {
    case 'none':
      return hidden;
    case 'cls':
      return reshape(slice(hidden, 1, 0, 1), [batch, width]);
    case 'mean':
      return reduceMean(slice(hidden, 1, 1, tokens), [1]);
  }
}
