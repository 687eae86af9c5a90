import { featuresGraph, outputsOf, type Pool } from '../artifact/graphs.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { imageInputs } from '../model/mask.js';
import { encoderParameters } from '../model/parameters.js';
import type { Runtime } from '../runtime/runtime.js';
import { Evaluator } from '../train/engine/evaluator.js';
import { UserError } from '../util/errors.js';
import type { Weights } from '../weights/foreign/weights.js';

/** An encoder with its weights. */
export type Encoder = Pick<Weights, 'config' | 'parameters'>;

/**
 * The evaluation graph's encoder on all patches, ready to run: `images` uint8 [B, H, W, 3] in, outputs by the names of the
 * pools, and `layers` (`featuresGraph`). In float32, by the custom operators where the runtime has them.
 */
export function openEncoder(
  runtime: Runtime,
  { config, parameters }: Encoder,
  pools: readonly Pool[],
  batchSize: number,
  layers: readonly number[] = [],
): Evaluator {
  const graph = lowerGraph(featuresGraph(config, batchSize, pools, layers), {
    kernelPrecision: runtime.kernelsPath === undefined ? undefined : 'fp32',
    lacks: runtime.device.lacks,
  });
  const description = {
    inputs: imageInputs(config, batchSize),
    outputs: outputsOf(graph),
    parameters: encoderParameters(config),
  };
  return new Evaluator(runtime, encodeModel(graph), description, (name) => parameters.get(name)!);
}

/** The encoder up to its block `layer`, counted from 1, and the final norm. A UserError where it has no such block. */
export function upToLayer({ config, parameters }: Encoder, layer: number): Encoder {
  const { depth } = config;
  if (!(Number.isSafeInteger(layer) && layer >= 1 && layer <= depth)) {
    throw new UserError(`--layer: expected a block of the encoder, 1 to ${depth}, got ${layer}`);
  }
  return { config: { ...config, depth: layer }, parameters };
}
