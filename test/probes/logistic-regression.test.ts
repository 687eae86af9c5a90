import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { indexOfLargest } from '../../src/probes/confusion.js';
import { fitLogisticRegression, predictLogits } from '../../src/probes/logistic-regression.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { goldenFeatures, goldens, randomFeatures } from './support.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const predictionsOf = (logits: Float32Array, classes: number): number[] =>
  Array.from({ length: logits.length / classes }, (_, row) =>
    indexOfLargest(logits.subarray(row * classes, (row + 1) * classes)),
  );

describe.each(['seven', 'two'] as const)('%s classes', (name) => {
  const { classes, logistic } = goldens[name];
  test.each(logistic)("C $C: scikit-learn's objective and predictions", async ({ C, loss, predictions }) => {
    const model = await fitLogisticRegression(runtime, goldenFeatures(name, 'train'), { classes, C });
    expect(Math.abs(model.loss / loss - 1)).toBeLessThan(1e-5);
    const logits = predictLogits(model, goldenFeatures(name, 'val'));
    expect(predictionsOf(logits, classes)).toEqual(predictions);
  });
});

test('a start at the solution ends at once; another start ends at the same loss', async () => {
  const train = goldenFeatures('seven', 'train');
  const cold = await fitLogisticRegression(runtime, train, { classes: 7, C: 1 });
  const again = await fitLogisticRegression(runtime, train, { classes: 7, C: 1, start: cold });
  expect(again.iterations).toBeLessThanOrEqual(1);
  const other = await fitLogisticRegression(runtime, train, { classes: 7, C: 100 });
  const back = await fitLogisticRegression(runtime, train, { classes: 7, C: 1, start: other });
  expect(Math.abs(back.loss / cold.loss - 1)).toBeLessThan(1e-6);
});

test('what it is asked to stop after', async () => {
  const train = goldenFeatures('seven', 'train');
  const model = await fitLogisticRegression(runtime, train, { classes: 7, C: 1, maxIterations: 3 });
  expect(model.iterations).toBe(3);
});

test.each([
  ['columns of zeros alone', { values: new Float32Array(12), size: 3, labels: Int32Array.of(0, 1, 1, 1) }],
  ['one row a class', randomFeatures([0, 1])],
  ['a class without rows', randomFeatures([0, 0, 1, 1, 3])],
  ['huge numbers', { ...randomFeatures([0, 1, 2]), values: new Float32Array(18).fill(1e15, 3, 9) }],
])('%s: finite numbers', async (_, train) => {
  for (const C of [1e-4, 100]) {
    const model = await fitLogisticRegression(runtime, train, { classes: 5, C });
    expect(model.loss).toBeGreaterThanOrEqual(0);
    expect(model.loss).toBeLessThanOrEqual(Math.log(5) + 1e-6);
    expect([...model.weights, ...model.bias, ...predictLogits(model, train)].every(Number.isFinite)).toBe(
      true,
    );
  }
});

test('labels outside the classes are refused', async () => {
  const train = { ...randomFeatures([0, 1, 2]), labels: Int32Array.of(0, -1, 2) };
  await expect(fitLogisticRegression(runtime, train, { classes: 3, C: 1 })).rejects.toThrow(/0 … 2, got -1/);
});
