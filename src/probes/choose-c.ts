import type { Runtime } from '../runtime/runtime.js';
import { RandomStream } from '../util/random.js';
import { accuracy } from './accuracy.js';
import { type LabelledFeatures, rowsByClass, selectRows } from './labelled-features.js';
import { type LogisticModel, LogisticRegression, predictLogits } from './logistic-regression.js';

/** 10^−4, 10^−3.5, …, 10^2 */
export const gridOfC: readonly number[] = Array.from({ length: 13 }, (_, i) => 10 ** (i / 2 - 4));

const foldCount = 5;
/** Rows below which a fifth says too little, so that each fifth is held out in turn. */
const smallSet = 1000;

/**
 * C with the best accuracy on pictures of the training set that are held out, a fifth of each class; the smallest of
 * several. Of small sets each fifth is held out in turn. 1 where no class has two pictures.
 */
export async function chooseC(
  runtime: Runtime,
  train: LabelledFeatures,
  { classes, seed }: { classes: number; seed: number },
): Promise<number> {
  const folds = stratifiedFolds(train.labels, classes, seed);
  const used = train.labels.length < smallSet ? folds : folds.slice(0, 1);
  const right = gridOfC.map(() => 0);
  for (const heldOut of used.filter(({ length }) => length > 0)) {
    const isHeldOut = new Set(heldOut);
    const rest = Array.from(train.labels.keys()).filter((row) => !isHeldOut.has(row));
    const fitted = selectRows(train, rest);
    const judged = selectRows(train, heldOut);
    const regression = new LogisticRegression(runtime, fitted, classes);
    try {
      let start: LogisticModel | undefined;
      for (const [i, C] of gridOfC.entries()) {
        start = await regression.fit({ C, start });
        right[i]! += accuracy(predictLogits(start, judged), judged.labels, 1) * heldOut.length;
      }
    } finally {
      regression.release();
    }
  }
  const best = Math.max(...right);
  return best === 0 ? 1 : gridOfC[right.indexOf(best)]!;
}

/** Fifths of each class; the only picture of a class is in none. The first has something of every class that has two. */
export function stratifiedFolds(labels: Int32Array, classes: number, seed: number): number[][] {
  const folds = Array.from({ length: foldCount }, (): number[] => []);
  for (const [label, rows] of rowsByClass(labels, classes).entries()) {
    if (rows.length < 2) continue;
    const order = new RandomStream(seed, 'folds', label).permutation(rows.length);
    for (const [i, place] of order.entries()) folds[i % foldCount]!.push(rows[place]!);
  }
  return folds.map((rows) => rows.sort((a, b) => a - b));
}
