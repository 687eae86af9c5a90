/** config.json of timm: `timm.create_model('local-dir:<folder>')` builds the encoder or the classifier from it. */
import type { EncoderNorm } from '../../model/classifier-parameters.js';
import { imageSize, type ModelConfig } from '../../model/config.js';
import { imagenetDeviation, imagenetMean } from '../../model/imagenet.js';
import type { ClassifierHead } from './model-info.js';

/** timm's own models of the presets' widths and depths; any other is one of them with other sizes. */
const architectures: Readonly<Record<string, string>> = {
  '192x12': 'vit_tiny_patch16_224',
  '384x12': 'vit_small_patch16_224',
  '768x12': 'vit_base_patch16_224',
  '1024x24': 'vit_large_patch16_224',
};

/** The head of a classifier, and the norm before it. */
type TimmHead = ClassifierHead & { readonly norm: EncoderNorm };

export function timmConfig(config: ModelConfig, head?: TimmHead): Record<string, unknown> {
  const { embedDim, depth, numHeads, patchSize, mlpRatio } = config;
  const { height, width } = imageSize(config);
  const classes = head?.classes ?? [];
  const pool = head?.pool === 'mean' ? 'avg' : 'token';
  return {
    architecture: architectures[`${embedDim}x${depth}`] ?? 'vit_base_patch16_224',
    num_classes: classes.length,
    num_features: embedDim,
    global_pool: pool,
    ...(head && { label_names: classes }),
    model_args: {
      img_size: height === width ? height : [height, width],
      patch_size: patchSize,
      embed_dim: embedDim,
      depth,
      num_heads: numHeads,
      mlp_ratio: mlpRatio,
      // the norm before or after the mean: timm takes it to be after
      ...(head && { global_pool: pool, fc_norm: head.norm === 'fc_norm' }),
    },
    pretrained_cfg: {
      input_size: [3, height, width],
      fixed_input_size: true,
      interpolation: 'bicubic',
      crop_pct: head?.evaluationCrop ?? 1,
      mean: imagenetMean,
      std: imagenetDeviation,
      num_classes: classes.length,
      pool_size: null,
      first_conv: 'patch_embed.proj',
      classifier: 'head',
    },
  };
}
