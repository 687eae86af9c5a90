import type { Runtime } from '../runtime/runtime.js';
import { isAmongFirst } from './accuracy.js';
import type { LabelledFeatures } from './labelled-features.js';
import { type Neighbours, nearestNeighbours } from './nearest-neighbours.js';

export interface KnnOptions {
  readonly classes: number;
  /** Numbers of neighbours; one above the number of rows takes all of them. */
  readonly ks: readonly number[];
  readonly temperature: number;
}

export const knnDefaults = { ks: [10, 20, 100, 200], temperature: 0.07 } as const;

export interface TopAccuracies {
  readonly top1: number;
  readonly top5: number;
}

/**
 * Weighted k nearest neighbours as in DINOv2 (Oquab et al., 2023): the k rows with the largest cosine vote for their class
 * with weights exp(cosine / temperature).
 */
export async function knnAccuracy(
  runtime: Runtime,
  train: LabelledFeatures,
  val: LabelledFeatures,
  options: KnnOptions,
): Promise<Map<number, TopAccuracies>> {
  const { classes, ks, temperature } = options;
  const count = val.labels.length;
  if (count === 0) throw new RangeError('knnAccuracy: expected at least one row');
  const neighbours = await nearestNeighbours(runtime, train, val, Math.max(...ks));
  const accuracies = new Map<number, TopAccuracies>();
  for (const k of ks) {
    let top1 = 0;
    let top5 = 0;
    for (const [row, label] of val.labels.entries()) {
      const votes = knnVotes(neighbours, train.labels, row, { k, classes, temperature });
      // a class without a vote is not among the first, however few have one
      if (votes[label] === 0) continue;
      if (isAmongFirst(votes, label, 1)) top1++;
      if (isAmongFirst(votes, label, 5)) top5++;
    }
    accuracies.set(k, { top1: top1 / count, top5: top5 / count });
  }
  return accuracies;
}

/** The sums of weights for each class; the nearest neighbour's weight is 1. */
export function knnVotes(
  neighbours: Neighbours,
  labels: Int32Array,
  query: number,
  { k, classes, temperature }: { k: number; classes: number; temperature: number },
): Float64Array {
  const votes = new Float64Array(classes);
  const first = query * neighbours.k;
  const nearest = neighbours.cosines[first]!;
  for (let i = first; i < first + Math.min(k, neighbours.k); i++) {
    votes[labels[neighbours.rows[i]!]!]! += Math.exp((neighbours.cosines[i]! - nearest) / temperature);
  }
  return votes;
}
