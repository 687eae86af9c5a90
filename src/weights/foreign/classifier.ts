import {
  batchNormEpsilon,
  type EncoderNorm,
  fixedEncoder,
  headParameters,
  runningMean,
  runningVariance,
  tunedEncoder,
} from '../../model/classifier-parameters.js';
import type { ModelConfig } from '../../model/config.js';
import { encoderParameters, type ParameterSpec } from '../../model/parameters.js';
import { UserError } from '../../util/errors.js';
import type { ClassifierHead } from './model-info.js';
import { type FoundModel, loadWeights, type Weights } from './weights.js';

/** A fine-tuned model of ours, or a linear probe. */
export interface Classifier
  extends Pick<Weights, 'path' | 'config' | 'step' | 'notes' | 'norm' | 'isProbe'>,
    ClassifierHead {
  /** Under the names of the task; see `classifierParameters`. */
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** Reads a classifier; a UserError where a checkpoint has no head that tells classes. */
export async function loadClassifier(given: string): Promise<Classifier> {
  const weights = await loadWeights(given, (config, _, found) => {
    if (found.head === undefined) throw noHead(found.path);
    return classifierParameters(config, found, found.head);
  });
  return { ...weights, ...weights.head! };
}

function noHead(path: string): UserError {
  return new UserError(
    `checkpoint: expected a classifier in ${path}, got weights without a head that mae finetune or mae linprobe trained; ` +
      'run mae finetune on them first',
  );
}

/** What a classifier's file holds of it. */
export function classifierParameters(
  config: ModelConfig,
  { isProbe }: Pick<FoundModel, 'isProbe'>,
  { classes, pool }: ClassifierHead,
): ParameterSpec[] {
  if (!isProbe) return [...tunedEncoder(config, pool, 1), ...headParameters(config, classes.length, 0)];
  const isBuffer = ({ name }: ParameterSpec) => name === runningMean || name === runningVariance;
  // no table stands in for the statistics where they lack
  const buffers = fixedEncoder(config).filter(isBuffer);
  const statistics = buffers.map((spec): ParameterSpec => ({ ...spec, group: 'notDecayed' }));
  return [...encoderParameters(config), ...statistics, ...headParameters(config, classes.length, 0)];
}

/**
 * The same function with a linear head alone: batch norm without weights of its own is part of it, as
 * W' = W / √(var + ε) and b' = b − W'·mean.
 */
export function withLinearHead(classifier: Classifier): Classifier & { readonly norm: EncoderNorm } {
  const { isProbe, parameters, classes, config } = classifier;
  if (!isProbe) return classifier;
  const width = config.embedDim;
  const of = (name: string) => parameters.get(name)!;
  const [mean, variance] = [of(runningMean), of(runningVariance)];
  const weight = Float32Array.from(
    of('head.weight'),
    (value, i) => value / Math.sqrt(variance[i % width]! + batchNormEpsilon),
  );
  const bias = Float32Array.from({ length: classes.length }, (_, row) => {
    let sum = of('head.bias')[row]!;
    for (let i = 0; i < width; i++) sum -= weight[row * width + i]! * mean[i]!;
    return sum;
  });
  const folded = new Map([...parameters, ['head.weight', weight], ['head.bias', bias]] as const);
  folded.delete(runningMean);
  folded.delete(runningVariance);
  return { ...classifier, isProbe: false, parameters: folded };
}
