/** config.json of timm: `timm.create_model('local-dir:<folder>')` builds the encoder or the classifier from it. */
import type { EncoderNorm } from '../../model/classifier-parameters.js';
import { imageSize, type ModelConfig, parseModelConfig } from '../../model/config.js';
import { imagenetDeviation, imagenetMean } from '../../model/imagenet.js';
import { publishedMaskRatio } from '../../model/presets.js';
import { usualDecoder } from './infer-model.js';
import type { ClassifierHead, ModelInfo } from './model-info.js';

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
    // of an encoder always 'token': 'avg' drops `norm`, and has an `fc_norm` that MAE does not train
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
