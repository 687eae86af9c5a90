/** config.json of transformers' ViTMAE and ViT: our sizes under its names. */
import { imageSize, layerNormEps, type ModelConfig, parseModelConfig } from '../../model/config.js';
import { imagenetDeviation, imagenetMean } from '../../model/imagenet.js';
import { UserError } from '../../util/errors.js';
import type { ModelInfo } from './model-info.js';

/** What transformers' own ViTMAEConfig has where the file says nothing: its numbers, whatever ours are. */
const defaults: Readonly<Record<string, unknown>> = {
  hidden_size: 768,
  num_hidden_layers: 12,
  num_attention_heads: 12,
  intermediate_size: 3072,
  hidden_act: 'gelu',
  layer_norm_eps: 1e-12,
  image_size: 224,
  patch_size: 16,
  num_channels: 3,
  qkv_bias: true,
  decoder_hidden_size: 512,
  decoder_num_hidden_layers: 8,
  decoder_num_attention_heads: 16,
  decoder_intermediate_size: 2048,
  mask_ratio: 0.75,
  norm_pix_loss: false,
};

/** The model that a config.json of transformers describes; UserError where it is not one that is built here. */
export function parseTransformersConfig(value: Readonly<Record<string, unknown>>, path: string): ModelInfo {
  const field = (name: string): unknown => value[name] ?? defaults[name];
  const number = (name: string): number => {
    const found = field(name);
    if (typeof found === 'number') return found;
    throw new UserError(
      `${path}: expected "${name}" to be a number, got ${JSON.stringify(found)}; repair it, or save the model again`,
    );
  };
  for (const [name, wanted] of [
    ['hidden_act', 'gelu'],
    ['num_channels', 3],
    ['qkv_bias', true],
  ] as const) {
    if (field(name) !== wanted) {
      throw new UserError(
        `${path}: expected "${name}" to be ${JSON.stringify(wanted)}, as in the paper, got ${JSON.stringify(field(name))}; ` +
          'other models are not supported',
      );
    }
  }
  const hasDecoder = value['model_type'] !== 'vit';
  const mlpRatio = number('intermediate_size') / number('hidden_size');
  const decoderRatio = number('decoder_intermediate_size') / number('decoder_hidden_size');
  if (hasDecoder && mlpRatio !== decoderRatio) {
    throw new UserError(
      `${path}: expected MLPs of the same ratio in encoder and decoder, got ${mlpRatio} and ${decoderRatio}; ` +
        'other models are not supported',
    );
  }
  const imageSides = field('image_size');
  const patchSides = field('patch_size');
  const isSquare = Array.isArray(patchSides) && patchSides.length === 2 && patchSides[0] === patchSides[1];
  const fields = {
    inputSize: imageSides,
    patchSize: isSquare ? patchSides[0] : patchSides,
    embedDim: field('hidden_size'),
    depth: field('num_hidden_layers'),
    numHeads: field('num_attention_heads'),
    decoderEmbedDim: field('decoder_hidden_size'),
    decoderDepth: field('decoder_num_hidden_layers'),
    decoderNumHeads: field('decoder_num_attention_heads'),
    mlpRatio,
  };
  const sizes = { ...fields, inputSize: singleSize(imageSides), layerNormEps: number('layer_norm_eps') };
  const config = parseModelConfig(sizes, path);
  const maskRatio = number('mask_ratio');
  if (!(maskRatio > 0 && maskRatio < 1)) {
    throw new UserError(
      `${path}: expected "mask_ratio" between 0 and 1, got ${maskRatio}; repair it, or save the model again`,
    );
  }
  return { config, maskRatio, normPixLoss: field('norm_pix_loss') === true, step: 0, notes: [] };
}

/** One number where both sides are the same. */
function singleSize(size: unknown): unknown {
  return Array.isArray(size) && size.length === 2 && size[0] === size[1] ? size[0] : size;
}

/** The config.json with which transformers builds the same model. */
export function transformersConfig(info: ModelInfo, encoderOnly: boolean): Record<string, unknown> {
  const { config, maskRatio, normPixLoss } = info;
  return sorted({
    ...encoderFields(config),
    architectures: [encoderOnly ? 'ViTMAEModel' : 'ViTMAEForPreTraining'],
    decoder_hidden_size: config.decoderEmbedDim,
    decoder_intermediate_size: hiddenWidth(config, config.decoderEmbedDim),
    decoder_num_attention_heads: config.decoderNumHeads,
    decoder_num_hidden_layers: config.decoderDepth,
    mask_ratio: maskRatio,
    model_type: 'vit_mae',
    norm_pix_loss: normPixLoss,
  });
}

/** That of ViTForImageClassification, which reads the class token. */
export function transformersClassifierConfig(
  config: ModelConfig,
  classes: readonly string[],
): Record<string, unknown> {
  return sorted({
    ...encoderFields(config),
    architectures: ['ViTForImageClassification'],
    id2label: Object.fromEntries(classes.entries()),
    label2id: Object.fromEntries(classes.map((name, i) => [name, i])),
    model_type: 'vit',
    problem_type: 'single_label_classification',
  });
}

/**
 * That of an encoder as a ViTModel, which masks nothing. Its pooler is a linear layer of the class token with the pooler
 * of `identityPooler`. `transformers.js_config` is how transformers.js loads it where a person says nothing: in float32, with
 * so many files of weights beside each model.
 */
export function transformersEncoderConfig(
  config: ModelConfig,
  dataFiles: Readonly<Record<string, number>>,
): Record<string, unknown> {
  const hasData = Object.values(dataFiles).some((files) => files > 0);
  return sorted({
    ...encoderFields(config),
    architectures: ['ViTModel'],
    model_type: 'vit',
    pooler_act: 'linear',
    'transformers.js_config': { dtype: 'fp32', ...(hasData && { use_external_data_format: dataFiles }) },
  });
}

/** The weights with which a ViTModel's pooler gives the class token as it is. */
export function identityPooler({ embedDim: width }: ModelConfig): Map<string, Float32Array> {
  const weight = new Float32Array(width * width);
  for (let i = 0; i < width; i++) weight[i * width + i] = 1;
  return new Map([
    ['pooler.dense.weight', weight],
    ['pooler.dense.bias', new Float32Array(width)],
  ]);
}

/**
 * preprocessor_config.json: the shorter side to the input's divided by the crop, then the middle. Of an input that is not
 * square the longer side decides, so that the middle is always inside the picture.
 */
export function preprocessorConfig(config: ModelConfig, evaluationCrop: number): Record<string, unknown> {
  const { height, width } = imageSize(config);
  return {
    crop_size: { height, width },
    do_center_crop: true,
    do_convert_rgb: true,
    do_normalize: true,
    do_rescale: true,
    do_resize: true,
    image_mean: imagenetMean,
    image_processor_type: 'CLIPImageProcessor',
    image_std: imagenetDeviation,
    resample: 3, // bicubic
    rescale_factor: 1 / 255,
    size: { shortest_edge: Math.round(Math.max(height, width) / evaluationCrop) },
  };
}

function encoderFields(config: ModelConfig): Record<string, unknown> {
  const { height, width } = imageSize(config);
  return {
    attention_probs_dropout_prob: 0,
    hidden_act: 'gelu',
    hidden_dropout_prob: 0,
    hidden_size: config.embedDim,
    image_size: height === width ? height : [height, width],
    initializer_range: 0.02,
    intermediate_size: hiddenWidth(config, config.embedDim),
    layer_norm_eps: layerNormEps(config),
    num_attention_heads: config.numHeads,
    num_channels: 3,
    num_hidden_layers: config.depth,
    patch_size: config.patchSize,
    qkv_bias: true,
    torch_dtype: 'float32',
  };
}

function sorted(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function hiddenWidth({ mlpRatio }: ModelConfig, width: number): number {
  return Math.round(mlpRatio * width);
}
