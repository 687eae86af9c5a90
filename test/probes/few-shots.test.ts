import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chooseC, gridOfC, stratifiedFolds } from '../../src/probes/choose-c.js';
import { selectRows } from '../../src/probes/labelled-features.js';
import { fitLogisticRegression, predictLogits } from '../../src/probes/logistic-regression.js';
import { drawShots, fewShots, meanAndDeviation } from '../../src/probes/shots.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { goldenFeatures, goldens, randomFeatures } from './support.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const labels = Int32Array.from({ length: 103 }, (_, i) => (i === 50 ? 4 : i % 4)); // one row of class 4
const countOf = (rows: readonly number[], label: number) =>
  rows.filter((row) => labels[row] === label).length;

describe('folds', () => {
  const folds = stratifiedFolds(labels, 5, 0);

  test('hold each row once but the only one of a class, and a fifth of each class', () => {
    expect(folds.flat().sort((a, b) => a - b)).toEqual([...labels.keys()].filter((row) => row !== 50));
    for (const fold of folds) {
      for (const label of [0, 1, 2, 3]) {
        const all = labels.filter((other) => other === label).length;
        expect(Math.abs(countOf(fold, label) - all / 5)).toBeLessThan(1);
      }
    }
  });

  test('follow from the seed', () => {
    expect(stratifiedFolds(labels, 5, 0)).toEqual(folds);
    expect(stratifiedFolds(labels, 5, 1)).not.toEqual(folds);
  });
});

describe('C', () => {
  test('has the least cross-entropy on rows held out, as by fits of their own', async () => {
    const train = randomFeatures(
      Array.from({ length: 60 }, (_, i) => i % 3),
      { noise: 1.5, seed: 4 },
    );
    const losses = gridOfC.map(() => 0);
    for (const fold of stratifiedFolds(train.labels, 3, 7)) {
      const rest = [...train.labels.keys()].filter((row) => !fold.includes(row));
      const judged = selectRows(train, fold);
      for (const [i, C] of gridOfC.entries()) {
        const model = await fitLogisticRegression(runtime, selectRows(train, rest), { classes: 3, C });
        const logits = predictLogits(model, judged);
        for (const [row, label] of judged.labels.entries()) {
          const odds = [...logits.subarray(row * 3, row * 3 + 3)].map((z) =>
            Math.exp(z - logits[row * 3 + label]!),
          );
          losses[i]! += Math.log(odds.reduce((sum, value) => sum + value));
        }
      }
    }
    const best = losses.indexOf(Math.min(...losses));
    expect(best).toBeGreaterThan(0);
    expect(best).toBeLessThan(gridOfC.length - 1);
    expect(await chooseC(runtime, train, { classes: 3, seed: 7 })).toBe(gridOfC[best]);
  });

  test('is 1 where no class has two rows', async () => {
    expect(await chooseC(runtime, randomFeatures([0, 1, 2]), { classes: 3, seed: 0 })).toBe(1);
  });
});

describe('shots', () => {
  test('n rows of each class, all of one that has fewer; others in each draw', () => {
    const rows = drawShots(labels, 10, 0, 0);
    expect(new Set(rows).size).toBe(rows.length);
    expect([0, 1, 2, 3, 4].map((label) => countOf(rows, label))).toEqual([10, 10, 10, 10, 1]);
    expect(drawShots(labels, 10, 0, 0)).toEqual(rows);
    const others = [drawShots(labels, 10, 0, 1), drawShots(labels, 10, 1, 0)];
    for (const other of others) expect([...other].sort()).not.toEqual([...rows].sort());
  });

  test('more labels say more; the same numbers again', async () => {
    const [train, val] = [goldenFeatures('seven', 'train'), goldenFeatures('seven', 'val')];
    const options = { classes: 7, shots: [2, 15], draws: 3, seed: 0 };
    const found = await fewShots(runtime, train, val, options);
    expect([...found.keys()]).toEqual([2, 15]);
    expect(found.get(2)!.mean).toBeGreaterThan(1 / 7);
    expect(found.get(15)!.mean).toBeGreaterThan(found.get(2)!.mean + 0.05);
    expect(found.get(2)!.sd).toBeGreaterThan(0);
    const again = await fewShots(runtime, train, val, { ...options, shots: [2] });
    expect(again.get(2)).toEqual(found.get(2));
  });

  test('mean and deviation of a sample, as by numpy', () => {
    const { of, mean, sd } = goldens.deviation;
    expect(meanAndDeviation(of).mean).toBeCloseTo(mean, 14);
    expect(meanAndDeviation(of).sd).toBeCloseTo(sd, 14);
    expect(meanAndDeviation([0.5])).toEqual({ mean: 0.5, sd: 0 });
  });
});
