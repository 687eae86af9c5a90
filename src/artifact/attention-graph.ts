/** What the class token looks at, for pictures that people look at: training has no such output. */
import type { Graph } from '../compiler/graph/graph.js';
import { scale } from '../compiler/graph/ops/elementwise.js';
import { matMul } from '../compiler/graph/ops/linalg.js';
import { reshape, slice, transpose } from '../compiler/graph/ops/movement.js';
import { softmax } from '../compiler/graph/ops/normalization.js';
import { layerNormEps, type ModelConfig, patchCount } from '../model/config.js';
import { layerNorm, linear } from '../model/layers.js';
import { imageInputs } from '../model/mask.js';
import { encoderParameters, type ParameterSpec } from '../model/parameters.js';
import { normalize, patchify, patchTokens, transformerBlocks } from '../model/vit.js';
import { declareBatch, declareParameters } from './graphs.js';

/** The parameters that decide the attention of the last block. */
export function attentionParameters(config: ModelConfig): ParameterSpec[] {
  const last = `blocks.${config.depth - 1}.`;
  const isRead = (name: string) =>
    !name.startsWith('norm.') &&
    (!name.startsWith(last) || name.startsWith(`${last}norm1.`) || name.startsWith(`${last}attn.qkv.`));
  return encoderParameters(config).filter(({ name }) => isRead(name));
}

/**
 * softmax(q·kᵀ/√d) of the class token in the last block of the encoder on all patches. Inputs: images uint8 [B, H, W, 3] and
 * `attentionParameters`; output: attention [B, heads, 1 + L], the class token itself first, patches in their order.
 */
export function attentionGraph(config: ModelConfig, batchSize: number): Graph {
  const { byName: p, values } = declareParameters(attentionParameters(config));
  const batch = declareBatch(imageInputs(config, batchSize));
  const { depth, embedDim, numHeads: heads, patchSize } = config;
  const [patches, width] = [patchCount(config), embedDim / heads];
  const tokens = 1 + patches;
  const pixels = reshape(patchify(batch.byName('images'), patchSize), [
    batchSize,
    patches,
    3 * patchSize ** 2,
  ]);
  const x = transformerBlocks({ ...config, depth: depth - 1 }, p, patchTokens(config, p, normalize(pixels))); // [B, T, D]
  const last = `blocks.${depth - 1}`;
  const qkv = linear(layerNorm(x, p, `${last}.norm1`, layerNormEps(config)), p, `${last}.attn.qkv`);
  const byHead = transpose(reshape(qkv, [batchSize, tokens, 3, heads, width]), [2, 0, 3, 1, 4]); // [3, B, H, T, d]
  const part = (index: number) =>
    reshape(slice(byHead, 0, index, index + 1), [batchSize, heads, tokens, width]);
  const query = scale(slice(part(0), 2, 0, 1), 1 / Math.sqrt(width)); // [B, H, 1, d]
  const scores = matMul(query, transpose(part(1), [0, 1, 3, 2]));
  return {
    name: 'attention_model',
    inputs: [...batch.values, ...values],
    outputs: [{ name: 'attention', value: reshape(softmax(scores), [batchSize, heads, tokens]) }],
  };
}
