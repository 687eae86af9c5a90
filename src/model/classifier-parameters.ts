import type { ModelConfig } from './config.js';
import { encoderParameters, type ParameterSpec } from './parameters.js';

/** What a classifier's head reads: the mean of the patch tokens, or the class token. */
export type ClassifierPool = 'mean' | 'cls';

/** The last norm of an encoder: of each token, or of their mean alone, as fine-tuning on that has it. */
export type EncoderNorm = 'norm' | 'fc_norm';

/** An encoder with its last norm, to be read and used: without what learning rates and decay are to be. */
export function normedEncoder(config: ModelConfig, norm: EncoderNorm): ParameterSpec[] {
  return norm === 'norm' ? encoderParameters(config) : tunedEncoder(config, 'mean', 1);
}

/** What a file of a classifier's weights says of its head. */
export function classifierMetadata({
  classes,
  pool,
  evaluationCrop,
}: {
  readonly classes: readonly string[];
  readonly pool: ClassifierPool;
  readonly evaluationCrop?: number | undefined;
}): Record<string, string> {
  return {
    task: 'classifier',
    classes: JSON.stringify(classes),
    pool,
    ...(evaluationCrop !== undefined && { crop_pct: String(evaluationCrop) }),
  };
}

/** The names of batch norm's running statistics. */
export const runningMean = 'head_norm.running_mean';
export const runningVariance = 'head_norm.running_var';
/** The published probe's. */
export const batchNormEpsilon = 1e-6;

/** The encoder of a classifier that keeps it as it is, and what batch norm keeps of its features. */
export function fixedEncoder(config: ModelConfig): ParameterSpec[] {
  const statistics = (name: string, kind: 'zeros' | 'ones'): ParameterSpec => ({
    name,
    shape: [config.embedDim],
    group: 'fixed',
    initialization: { kind },
  });
  return [
    ...encoderParameters(config).map((spec): ParameterSpec => ({ ...spec, group: 'fixed' })),
    statistics(runningMean, 'zeros'),
    statistics(runningVariance, 'ones'),
  ];
}

/** What a fine-tuned classifier has of an encoder: with the mean of its patch tokens not the last norm. */
export function encoderOf(config: ModelConfig, pool: ClassifierPool): ParameterSpec[] {
  return encoderParameters(config).filter(({ name }) => pool === 'cls' || !/^norm\./.test(name));
}

/**
 * The encoder that fine-tuning trains, positions too, and `fc_norm`. As in the published code: vectors, class token and
 * positions do not decay, and the learning rate of layer i is multiplied by decay^(depth + 1 − i) (Clark et al., 2020).
 */
export function tunedEncoder(config: ModelConfig, pool: ClassifierPool, layerDecay: number): ParameterSpec[] {
  const { depth, embedDim } = config;
  const encoder = encoderOf(config, pool).map((spec): ParameterSpec => {
    const scaled = layerDecay ** (depth + 1 - layerOf(spec.name, depth));
    const group = spec.shape.length === 1 || isToken(spec.name) ? 'notDecayed' : 'decayed';
    return { ...spec, group, ...(scaled !== 1 && { lrScale: scaled }) };
  });
  if (pool === 'cls') return encoder;
  const vector = (name: string, kind: 'zeros' | 'ones'): ParameterSpec => ({
    name: `fc_norm.${name}`,
    shape: [embedDim],
    group: 'notDecayed',
    initialization: { kind },
  });
  return [...encoder, vector('weight', 'ones'), vector('bias', 'zeros')];
}

const isToken = (name: string) => name === 'cls_token' || name === 'pos_embed';

/** 0 for what makes tokens of an image, i + 1 for block i, and depth + 1 for what comes after them. */
function layerOf(name: string, depth: number): number {
  if (isToken(name) || name.startsWith('patch_embed.')) return 0;
  const block = /^blocks\.(\d+)\./.exec(name);
  return block === null ? depth + 1 : Number(block[1]) + 1;
}

/** The linear layer from D to the classes. */
export function headParameters(
  { embedDim }: ModelConfig,
  classes: number,
  deviation: number,
): ParameterSpec[] {
  return [
    {
      name: 'head.weight',
      shape: [classes, embedDim],
      group: 'decayed',
      initialization: { kind: 'truncated-normal', deviation },
    },
    { name: 'head.bias', shape: [classes], group: 'notDecayed', initialization: { kind: 'zeros' } },
  ];
}
