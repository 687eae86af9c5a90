/** Probes of a run of pretraining: the cheap part of `mae evaluate`, on the weights as they are. */
import { alignClasses, checkClasses } from '../data/sources/labels.js';
import type { ImageSource } from '../data/sources/source.js';
import type { ModelConfig } from '../model/config.js';
import { accuracy } from '../probes/accuracy.js';
import { knnAccuracy, knnDefaults } from '../probes/knn.js';
import type { LabelledFeatures } from '../probes/labelled-features.js';
import { fitLogisticRegression, predictLogits } from '../probes/logistic-regression.js';
import { rankMe } from '../probes/rank-me.js';
import { standardize } from '../probes/standardize.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Metrics } from '../train/observer.js';
import type { PretrainOptions } from '../train/options.js';
import type { Probe } from '../train/probing.js';
import { UserError } from '../util/errors.js';
import { checkLabels, labelsOf } from './class-images.js';
import { extractFeatures, type FeatureTable } from './features.js';
import type { Encoder } from './open-encoder.js';
import { openImageFolder } from './open-images.js';

/** Neighbours that vote, and the inverse strength of the penalty: fixed, so that one epoch compares with another. */
const neighbours = 20;
const C = 1;
const batchSize = 64;

type ProbeOptions = Pick<
  PretrainOptions,
  'probePath' | 'probeValPath' | 'probeEvery' | 'numWorkers' | 'exifRotation' | 'rescan'
>;

/** A UserError where options of probes lack one another. */
export function checkProbeOptions({
  probePath,
  probeValPath,
  keepBest,
  valPath,
}: Pick<PretrainOptions, 'probePath' | 'probeValPath' | 'keepBest' | 'valPath'>): void {
  if ((probePath === undefined) !== (probeValPath === undefined)) {
    const [given, missing] =
      probePath === undefined ? ['--probe-val-path', '--probe-path'] : ['--probe-path', '--probe-val-path'];
    throw new UserError(
      `${given}: expected ${missing} beside it, got none; give class folders of images to learn from and of others to judge by`,
    );
  }
  const wanted = { probe: probePath, val: valPath };
  if (keepBest !== undefined && wanted[keepBest] === undefined) {
    const flags = { probe: '--probe-path and --probe-val-path', val: '--val-path' };
    throw new UserError(
      `--keep-best ${keepBest}: expected ${flags[keepBest]}, got none; give them, or leave it out`,
    );
  }
}

/** What judges a run, if its options ask for it. A UserError where the images cannot: fewer than two classes, say. */
export async function openProbe(
  runtime: Runtime,
  config: ModelConfig,
  options: ProbeOptions,
  note: (line: string) => void,
): Promise<Probe> {
  const { rescan, probeEvery } = options;
  const train = await openImageFolder(options.probePath!, { rescan, note });
  checkClasses(train.root, train.classNames, labelsOf(train));
  checkLabels('--probe-path', train);
  const val = alignClasses(train, await openImageFolder(options.probeValPath!, { rescan, note }));
  checkLabels('--probe-val-path', val);
  note(
    `probes: ${train.length} images of ${train.classNames.length} classes, judged by ${val.length}, ` +
      `every ${probeEvery === 1 ? 'epoch' : `${probeEvery} epochs`}`,
  );
  return {
    every: probeEvery,
    judge: (parameters, shouldStop) =>
      judge(runtime, { config, parameters }, { train, val }, options, shouldStop),
  };
}

/** Thrown out of a pass over images, whose result nobody waits for any more. */
class Stopped extends Error {}

async function judge(
  runtime: Runtime,
  encoder: Encoder,
  { train, val }: { readonly train: ImageSource; readonly val: ImageSource },
  { numWorkers, exifRotation }: ProbeOptions,
  shouldStop: () => boolean,
): Promise<Metrics | undefined> {
  const featuresOf = async (source: ImageSource): Promise<LabelledFeatures> => {
    const options = { pools: ['mean'] as const, batchSize, numWorkers, exifRotation };
    const progress = () => {
      if (shouldStop()) throw new Stopped();
    };
    const { mean } = await extractFeatures(runtime, encoder, source, options, progress, () => {});
    return labelled(mean);
  };
  try {
    const features = await featuresOf(train);
    const judged = await featuresOf(val);
    return await probeMetrics(runtime, features, judged, train.classNames.length);
  } catch (error) {
    if (error instanceof Stopped) return undefined;
    throw error;
  }
}

function labelled({ values, labels, shape }: FeatureTable): LabelledFeatures {
  return { values, labels, size: shape[1]! };
}

/** Accuracies on `val` of kNN and logistic regression that learnt from `train`, both standardised; RankMe of `train`. */
export async function probeMetrics(
  runtime: Runtime,
  train: LabelledFeatures,
  val: LabelledFeatures,
  classes: number,
): Promise<Metrics> {
  const [own, other] = standardize(train, [val]) as [LabelledFeatures, LabelledFeatures];
  const { temperature } = knnDefaults;
  const knn = await knnAccuracy(runtime, own, other, { classes, ks: [neighbours], temperature });
  const model = await fitLogisticRegression(runtime, own, { classes, C });
  return {
    knn: knn.get(neighbours)!.top1,
    logreg: accuracy(predictLogits(model, other), other.labels, 1),
    rank_me: rankMe(train),
  };
}
