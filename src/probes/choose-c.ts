import type { Runtime } from '../runtime/runtime.js';
import { RandomStream } from '../util/random.js';
import { crossEntropy } from './accuracy.js';
import { type LabelledFeatures, rowsByClass, selectRows } from './labelled-features.js';
import { type LogisticModel, LogisticRegression, predictLogits } from './logistic-regression.js';

/** 10^−4, 10^−3.5, …, 10^2 */
export const gridOfC: readonly number[] = Array.from({ length: 13 }, (_, i) => 10 ** (i / 2 - 4));

const foldCount = 5;
/** Coarser than that of a fit that is kept: which C is best shows long before. */
const tolerance = 1e-5;

/** Rows below which a fifth says too little, so that each fifth is held out in turn. */
const smallSet = 1000;

/** The loss has one valley over C: where it has risen for so many steps, larger ones, which take the longest, are not tried. */
const patience = 2;

/**
 * C with the least cross-entropy on pictures of the training set that are held out, a fifth of each class; of small sets
 * each fifth is held out in turn. Few pictures say more by their loss than by how many of them are right. 1 where no class
 * has two pictures.
 */
export async function chooseC(
  runtime: Runtime,
  train: LabelledFeatures,
  { classes, seed }: { classes: number; seed: number },
): Promise<number> {
  const parts = stratifiedFolds(train.labels, classes, seed).filter(({ length }) => length > 0);
  if (parts.length === 0) return 1;
  const used = train.labels.length < smallSet ? parts : parts.slice(0, 1);
  const folds = used.map((heldOut) => new Fold(runtime, train, heldOut, classes));
  try {
    let best = { C: 1, loss: Number.POSITIVE_INFINITY, at: 0 };
    for (const [at, C] of gridOfC.entries()) {
      let loss = 0;
      for (const fold of folds) loss += await fold.lossWith(C);
      if (loss < best.loss) best = { C, loss, at };
      else if (at - best.at >= patience) break;
    }
    return best.C;
  } finally {
    for (const fold of folds) fold.release();
  }
}

/** Pictures held out, and the regression of the others. */
class Fold {
  readonly #judged: LabelledFeatures;
  readonly #regression: LogisticRegression;
  #start: LogisticModel | undefined;

  constructor(runtime: Runtime, train: LabelledFeatures, heldOut: readonly number[], classes: number) {
    const isHeldOut = new Set(heldOut);
    const rest = Array.from(train.labels.keys()).filter((row) => !isHeldOut.has(row));
    this.#judged = selectRows(train, heldOut);
    this.#regression = new LogisticRegression(runtime, selectRows(train, rest), classes);
  }

  /** Σ cross-entropy of the held-out pictures by a fit with C; it starts from the one before. */
  async lossWith(C: number): Promise<number> {
    this.#start = await this.#regression.fit({ C, start: this.#start, tolerance });
    return crossEntropy(predictLogits(this.#start, this.#judged), this.#judged.labels);
  }

  release(): void {
    this.#regression.release();
  }
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
