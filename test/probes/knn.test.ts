import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { knnAccuracy, knnDefaults } from '../../src/probes/knn.js';
import { nearestNeighbours } from '../../src/probes/nearest-neighbours.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { goldenFeatures, goldens, randomFeatures } from './support.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

describe.each(['seven', 'two'] as const)('%s classes', (name) => {
  test('accuracies as of KNeighborsClassifier, k above the number of rows too', async () => {
    const { classes, knn, zeroRow } = goldens[name];
    const train = goldenFeatures(name, 'train');
    train.values.fill(0, zeroRow * train.size, (zeroRow + 1) * train.size);
    const found = await knnAccuracy(runtime, train, goldenFeatures(name, 'val'), { ...knnDefaults, classes });
    expect(Object.fromEntries(found)).toEqual(knn);
  });
});

test('a class without a vote is not among the first five, however few classes have one', async () => {
  const train = randomFeatures([0, 0, 1, 1, 2, 2], { noise: 0.01 });
  const val = { ...train, labels: Int32Array.of(0, 0, 1, 1, 0, 0) }; // the last two are told a class too far
  const found = await knnAccuracy(runtime, train, val, { classes: 3, ks: [2], temperature: 0.07 });
  expect(found.get(2)).toEqual({ top1: 4 / 6, top5: 4 / 6 });
});

test('rows of zeros have cosine 0, as training set and as query', async () => {
  const zeros = { values: new Float32Array(12), size: 4, labels: Int32Array.of(0, 1, 1) };
  const found = await nearestNeighbours(runtime, zeros, zeros, 10);
  expect(found.k).toBe(3);
  expect([...found.cosines]).toEqual(Array(9).fill(0));
  // of equal ones the earlier
  expect([...found.rows]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2]);
  const accuracies = await knnAccuracy(runtime, zeros, zeros, { ...knnDefaults, classes: 2 });
  expect(accuracies.get(10)).toEqual({ top1: 2 / 3, top5: 1 });
});

test('neighbours of more queries than a block has: the same as by cosines of the host, sorted', async () => {
  const train = randomFeatures(Array.from({ length: 90 }, (_, i) => i % 5));
  const queries = randomFeatures(
    Array.from({ length: 600 }, (_, i) => i % 5),
    { seed: 1 },
  );
  const { rows, cosines } = await nearestNeighbours(runtime, train, queries, 7);
  for (const query of [0, 255, 256, 599]) {
    const all = hostCosines(train.values, queries.values.subarray(query * 6, query * 6 + 6));
    const order = Array.from(all.keys()).sort((a, b) => all[b]! - all[a]!);
    expect([...rows.subarray(query * 7, query * 7 + 7)]).toEqual(order.slice(0, 7));
    expect(cosines[query * 7]).toBeCloseTo(all[order[0]!]!, 5);
  }
});

function hostCosines(rows: Float32Array, query: Float32Array): number[] {
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  return Array.from({ length: rows.length / query.length }, (_, i) => {
    const row = rows.subarray(i * query.length, (i + 1) * query.length);
    return dot(row, query) / Math.sqrt(dot(row, row) * dot(query, query));
  });
}
