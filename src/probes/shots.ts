import type { Runtime } from '../runtime/runtime.js';
import { RandomStream } from '../util/random.js';
import { accuracy } from './accuracy.js';
import { chooseC } from './choose-c.js';
import { type LabelledFeatures, selectRows } from './labelled-features.js';
import { fitLogisticRegression, predictLogits } from './logistic-regression.js';

export interface ShotOptions {
  readonly classes: number;
  /** Labelled pictures a class. */
  readonly shots: readonly number[];
  readonly draws: number;
  readonly seed: number;
}

export const shotDefaults = { shots: [10, 50, 100], draws: 5 } as const;

export interface MeanAndDeviation {
  readonly mean: number;
  /** Of a sample: √(Σ(x − mean)² / (n − 1)); 0 of one. */
  readonly sd: number;
}

/** Coarser than that of all labels: predictions that change are a tenth of what draws differ by. */
const tolerance = 1e-6;

/**
 * Accuracies of logistic regression with n labels a class: the mean over draws. Features are to be standardised by all of
 * the training set: labels are few, pictures are not. C is chosen on the draw alone.
 */
export async function fewShots(
  runtime: Runtime,
  train: LabelledFeatures,
  val: LabelledFeatures,
  { classes, shots, draws, seed }: ShotOptions,
): Promise<Map<number, MeanAndDeviation>> {
  const results = new Map<number, MeanAndDeviation>();
  for (const n of shots) {
    const accuracies: number[] = [];
    for (let draw = 0; draw < draws; draw++) {
      const drawn = selectRows(train, drawShots(train.labels, n, seed, draw));
      const C = await chooseC(runtime, drawn, { classes, seed });
      const model = await fitLogisticRegression(runtime, drawn, { classes, C, tolerance });
      accuracies.push(accuracy(predictLogits(model, val), val.labels, 1));
    }
    results.set(n, meanAndDeviation(accuracies));
  }
  return results;
}

/** n rows of each class, without replacement; all of a class that has fewer. */
export function drawShots(labels: Int32Array, n: number, seed: number, draw: number): number[] {
  const taken = new Map<number, number>();
  const order = new RandomStream(seed, 'shots', n, draw).permutation(labels.length);
  return Array.from(order).filter((row) => {
    const count = taken.get(labels[row]!) ?? 0;
    taken.set(labels[row]!, count + 1);
    return count < n;
  });
}

export function meanAndDeviation(values: readonly number[]): MeanAndDeviation {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, sd: values.length === 1 ? 0 : Math.sqrt(squares / (values.length - 1)) };
}
