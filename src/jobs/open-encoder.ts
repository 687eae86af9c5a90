import { featuresGraph, outputsOf, type Pool } from '../artifact/graphs.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { normedEncoder } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import { imageInputs } from '../model/mask.js';
import type { Runtime } from '../runtime/runtime.js';
import type { BoundTensor } from '../runtime/tensor.js';
import { Evaluator } from '../train/engine/evaluator.js';
import { UserError } from '../util/errors.js';
import type { Weights } from '../weights/foreign/weights.js';

/** An encoder with its weights, the host's arrays or tensors of a device, and a norm for each token where none is given. */
export interface Encoder extends Partial<Pick<Weights, 'norm'>> {
  readonly config: ModelConfig;
  readonly parameters: ReadonlyMap<string, Float32Array | BoundTensor>;
}

/** A UserError where an encoder that was fine-tuned on the mean of its patch tokens is to give something else. */
export function checkPools({ norm, path }: Pick<Weights, 'norm' | 'path'>, pools: readonly Pool[]): void {
  const other = norm === 'fc_norm' ? pools.find((pool) => pool !== 'mean') : undefined;
  if (other === undefined) return;
  throw new UserError(
    `--pool: expected mean for ${path}, whose last norm was fine-tuned on the mean of the patch tokens and fits no ` +
      `single token, got ${other}; give --pool mean`,
  );
}

/**
 * The evaluation graph's encoder on all patches, ready to run: `images` uint8 [B, H, W, 3] in, outputs by the names of the
 * pools, and `layers` (`featuresGraph`). In float32, by the custom operators where the runtime has them.
 */
export function openEncoder(
  runtime: Runtime,
  { config, parameters, norm = 'norm' }: Encoder,
  pools: readonly Pool[],
  batchSize: number,
  layers: readonly number[] = [],
): Evaluator {
  const graph = lowerGraph(featuresGraph(config, batchSize, pools, { norm, layers }), {
    kernelPrecision: runtime.kernelsPath === undefined ? undefined : 'fp32',
    lacks: runtime.device.lacks,
  });
  const description = {
    inputs: imageInputs(config, batchSize),
    outputs: outputsOf(graph),
    parameters: normedEncoder(config, norm),
  };
  return new Evaluator(runtime, encodeModel(graph), description, (name) => parameters.get(name)!);
}

/** The encoder up to its block `layer`, counted from 1, and the final norm. A UserError where it has no such block. */
export function upToLayer(encoder: Encoder, layer: number): Encoder {
  const { depth } = encoder.config;
  if (!(Number.isSafeInteger(layer) && layer >= 1 && layer <= depth)) {
    throw new UserError(`--layer: expected a block of the encoder, 1 to ${depth}, got ${layer}`);
  }
  return { ...encoder, config: { ...encoder.config, depth: layer } };
}
