import { accuracy } from '../../probes/accuracy.js';
import { chooseC } from '../../probes/choose-c.js';
import { knnAccuracy, knnDefaults, knnVotes } from '../../probes/knn.js';
import { type LabelledFeatures, selectRows } from '../../probes/labelled-features.js';
import { fitLogisticRegression, predictLogits } from '../../probes/logistic-regression.js';
import { nearestNeighbours } from '../../probes/nearest-neighbours.js';
import { rankMe } from '../../probes/rank-me.js';
import { fewShots, type MeanAndDeviation, shotDefaults } from '../../probes/shots.js';
import { standardize } from '../../probes/standardize.js';
import type { Runtime } from '../../runtime/runtime.js';
import { UserError } from '../../util/errors.js';
import { sizeOf } from '../../util/shape.js';
import type { FeatureTable } from '../features.js';
import type { FeatureSet } from './feature-sets.js';

export const methods = ['knn', 'logreg'] as const;
export type Method = (typeof methods)[number];

/** Accuracies are shares of 1. The names are those of `--json`. */
export interface EvaluationRow {
  readonly features: string;
  readonly pool: 'mean' | 'cls' | null;
  /** Numbers a picture. */
  readonly dims: number;
  /** By k. */
  readonly knn?: Readonly<Record<string, number>>;
  readonly knn_top5?: Readonly<Record<string, number>>;
  readonly logreg?: number;
  readonly logreg_top5?: number;
  /** Chosen on a split of the training images. */
  readonly C?: number;
  /** Logistic regression by the labels a class. */
  readonly shots?: Readonly<Record<string, MeanAndDeviation>>;
  readonly rankme: number;
}

export interface JudgeOptions {
  readonly classes: number;
  readonly methods: readonly Method[];
  readonly shots: readonly number[];
  readonly seed: number;
}

export interface Judged {
  readonly row: EvaluationRow;
  /** Scores of the classes for each image of validation, by logistic regression where it is asked for, else by kNN: [N, C]. */
  scores(): Promise<Float32Array>;
  /** Standardised by the training images, those with a class alone. */
  readonly train: LabelledFeatures;
  readonly val: LabelledFeatures;
}

/** A UserError, which names the features, where they cannot be judged. */
export async function judge(runtime: Runtime, set: FeatureSet, options: JudgeOptions): Promise<Judged> {
  const { features, pool } = set;
  const raw = labelled(set.train);
  const [train, val] = named(set, () => standardize(raw, [labelled(set.val)])) as [
    LabelledFeatures,
    LabelledFeatures,
  ];
  const hasKnn = options.methods.includes('knn');
  const hasLogreg = options.methods.includes('logreg');
  const knn = hasKnn ? await judgeKnn(runtime, train, val, options) : undefined;
  const regression = hasLogreg ? await judgeLogreg(runtime, train, val, options) : undefined;
  const row = { features, pool, dims: raw.size, ...knn, ...regression?.fields, rankme: rankMe(raw) };
  const scores = async () => regression?.logits ?? (await votes(runtime, train, val, options.classes));
  return { row, scores, train, val };
}

async function judgeKnn(
  runtime: Runtime,
  train: LabelledFeatures,
  val: LabelledFeatures,
  { classes }: JudgeOptions,
): Promise<Pick<EvaluationRow, 'knn' | 'knn_top5'>> {
  const found = [...(await knnAccuracy(runtime, train, val, { ...knnDefaults, classes }))];
  return {
    knn: Object.fromEntries(found.map(([k, { top1 }]) => [k, top1])),
    knn_top5: Object.fromEntries(found.map(([k, { top5 }]) => [k, top5])),
  };
}

async function judgeLogreg(
  runtime: Runtime,
  train: LabelledFeatures,
  val: LabelledFeatures,
  { classes, shots, seed }: JudgeOptions,
): Promise<{
  logits: Float32Array;
  fields: Pick<EvaluationRow, 'logreg' | 'logreg_top5' | 'C' | 'shots'>;
}> {
  const C = await chooseC(runtime, train, { classes, seed });
  const model = await fitLogisticRegression(runtime, train, { classes, C });
  const logits = predictLogits(model, val);
  const { draws } = shotDefaults;
  const few = await fewShots(runtime, train, val, { classes, shots, draws, seed });
  return {
    logits,
    fields: {
      logreg: accuracy(logits, val.labels, 1),
      logreg_top5: accuracy(logits, val.labels, 5),
      C,
      shots: Object.fromEntries(few),
    },
  };
}

/** k of the votes where there is no logistic regression. */
export const votingK = 20;

async function votes(
  runtime: Runtime,
  train: LabelledFeatures,
  val: LabelledFeatures,
  classes: number,
): Promise<Float32Array> {
  const neighbours = await nearestNeighbours(runtime, train, val, votingK);
  const scores = new Float32Array(val.labels.length * classes);
  const options = { k: votingK, classes, temperature: knnDefaults.temperature };
  for (let row = 0; row < val.labels.length; row++) {
    scores.set(knnVotes(neighbours, train.labels, row, options), row * classes);
  }
  return scores;
}

/** The images that have a class. */
function labelled({ values, shape, labels }: FeatureTable): LabelledFeatures {
  const all = { values, size: sizeOf(shape.slice(1)), labels };
  return labels.includes(-1) ? selectRows(all, classedRows(labels)) : all;
}

/** Their rows in the table. */
export function classedRows(labels: Int32Array): number[] {
  return [...labels.keys()].filter((row) => labels[row]! >= 0);
}

function named<T>({ features, pool }: FeatureSet, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${features}${pool === null ? '' : `, ${pool}`}: ${error.message}`);
  }
}
