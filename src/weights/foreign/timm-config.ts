/** config.json of timm: `timm.create_model('local-dir:<folder>')` builds the encoder from it. */
import { imageSize, type ModelConfig } from '../../model/config.js';
import { imagenetDeviation, imagenetMean } from '../../model/imagenet.js';

/** timm's own models of the presets' widths and depths; any other is one of them with other sizes. */
const architectures: Readonly<Record<string, string>> = {
  '192x12': 'vit_tiny_patch16_224',
  '384x12': 'vit_small_patch16_224',
  '768x12': 'vit_base_patch16_224',
  '1024x24': 'vit_large_patch16_224',
};

export function timmConfig(config: ModelConfig): Record<string, unknown> {
  const { embedDim, depth, numHeads, patchSize, mlpRatio } = config;
  const { height, width } = imageSize(config);
  return {
    architecture: architectures[`${embedDim}x${depth}`] ?? 'vit_base_patch16_224',
    num_classes: 0,
    num_features: embedDim,
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
