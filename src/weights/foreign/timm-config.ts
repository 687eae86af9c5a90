/** config.json of timm: `timm.create_model('local-dir:<folder>')` builds the encoder from it. */
import { imageSize, type ModelConfig, parseModelConfig } from '../../model/config.js';
import { imagenetDeviation, imagenetMean } from '../../model/imagenet.js';
import { publishedMaskRatio } from '../../model/presets.js';
import { usualDecoder } from './infer-model.js';
import type { ModelInfo } from './model-info.js';

/** timm's own models of the presets' widths and depths; any other is one of them with other sizes. */
const architectures: Readonly<Record<string, string>> = {
  '192x12': 'vit_tiny_patch16_224',
  '384x12': 'vit_small_patch16_224',
  '768x12': 'vit_base_patch16_224',
  '1024x24': 'vit_large_patch16_224',
};

/** The encoder that a config.json of timm describes; undefined where it leaves sizes to timm's own models. */
export function parseTimmConfig(
  value: Readonly<Record<string, unknown>>,
  path: string,
): Omit<ModelInfo, 'step'> | undefined {
  const sizes = value['model_args'] as Partial<Record<string, unknown>> | null | undefined;
  const names = ['img_size', 'patch_size', 'embed_dim', 'depth', 'num_heads', 'mlp_ratio'];
  if (!names.every((name) => sizes?.[name] !== undefined)) return undefined;
  const [inputSize, patchSize, embedDim, depth, numHeads, mlpRatio] = names.map((name) => sizes![name]);
  const encoder = { inputSize, patchSize, embedDim, depth, numHeads, mlpRatio } as ModelConfig;
  const config = parseModelConfig({ ...encoder, ...usualDecoder(encoder) }, path);
  return { config, maskRatio: publishedMaskRatio, normPixLoss: false, notes: [] };
}

export function timmConfig(config: ModelConfig): Record<string, unknown> {
  const { embedDim, depth, numHeads, patchSize, mlpRatio } = config;
  const { height, width } = imageSize(config);
  return {
    architecture: architectures[`${embedDim}x${depth}`] ?? 'vit_base_patch16_224',
    num_classes: 0,
    num_features: embedDim,
    // its 'avg' drops `norm`, and has an `fc_norm` that MAE does not train: these weights would not fit
    global_pool: 'token',
    model_args: {
      img_size: height === width ? height : [height, width],
      patch_size: patchSize,
      embed_dim: embedDim,
      depth,
      num_heads: numHeads,
      mlp_ratio: mlpRatio,
    },
    pretrained_cfg: {
      input_size: [3, height, width],
      fixed_input_size: true,
      interpolation: 'bicubic',
      crop_pct: 1,
      mean: imagenetMean,
      std: imagenetDeviation,
      num_classes: 0,
      pool_size: null,
      first_conv: 'patch_embed.proj',
      classifier: 'head',
    },
  };
}
