import { input } from '../compiler/graph/graph.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import type { Runtime } from '../runtime/runtime.js';
import { BoundGraph } from './bound-graph.js';
import type { LabelledFeatures } from './labelled-features.js';

type Rows = Omit<LabelledFeatures, 'labels'>;

export interface Neighbours {
  /** Neighbours a query, at most as many as there are rows. */
  readonly k: number;
  /** Rows of the training set [N, k], the nearest first. */
  readonly rows: Int32Array;
  /** Their cosines [N, k]. */
  readonly cosines: Float32Array;
}

/** Similarities that are in memory at a time: 64 MB. */
const blockElements = 2 ** 24;
const mostQueries = 256;

/** The k rows of `train` with the largest cosine for each query; of equal ones the earlier row. Rows of zeros have cosine 0. */
export async function nearestNeighbours(
  runtime: Runtime,
  train: Rows,
  queries: Rows,
  k: number,
): Promise<Neighbours> {
  const { size } = train;
  const trainCount = train.values.length / size;
  const queryCount = queries.values.length / size;
  k = Math.min(k, trainCount);
  const block = Math.max(1, Math.min(mostQueries, queryCount, Math.floor(blockElements / trainCount)));
  const x = input('queries', 'float32', [block, size]);
  const rows = input('train', 'float32', [trainCount, size]);
  const arrays = {
    queries: new Float32Array(block * size),
    train: normalizedRows(train),
    cosines: new Float32Array(block * trainCount),
  };
  const cosines = gemm(x, rows, { transB: true }); // [block, trainCount]
  const outputs = [{ name: 'cosines', value: cosines }];
  const graph = new BoundGraph(runtime, { name: 'neighbours', inputs: [x, rows], outputs }, arrays);
  const all = normalizedRows(queries);
  const found = {
    k,
    rows: new Int32Array(queryCount * k),
    cosines: new Float32Array(queryCount * k),
  };
  const largest = new Largest(k);
  try {
    for (let first = 0; first < queryCount; first += block) {
      const count = Math.min(block, queryCount - first);
      arrays.queries.set(all.subarray(first * size, (first + count) * size));
      await graph.run('queries');
      for (let i = 0; i < count; i++) {
        const ofQuery = arrays.cosines.subarray(i * trainCount, (i + 1) * trainCount);
        const chosen = largest.of(ofQuery);
        found.rows.set(chosen, (first + i) * k);
        for (let j = 0; j < k; j++) found.cosines[(first + i) * k + j] = ofQuery[chosen[j]!]!;
      }
    }
  } finally {
    graph.release();
  }
  return found;
}

/** Rows of length 1; those of zeros stay. */
function normalizedRows({ values, size }: Rows): Float32Array {
  const result = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += size) {
    let squares = 0;
    for (let i = start; i < start + size; i++) squares += values[i]! ** 2;
    const factor = squares === 0 ? 0 : 1 / Math.sqrt(squares);
    for (let i = start; i < start + size; i++) result[i] = values[i]! * factor;
  }
  return result;
}

/** The places of the k largest numbers, by a heap whose root is the worst that is kept. */
class Largest {
  readonly #heap: Int32Array;
  #values: Float32Array = new Float32Array();

  constructor(k: number) {
    this.#heap = new Int32Array(k);
  }

  /** Sorted, the largest first; of equal numbers the earlier place first. Overwritten by the next call. */
  of(values: Float32Array): Int32Array {
    const heap = this.#heap;
    const k = heap.length;
    this.#values = values;
    for (let i = 0; i < k; i++) heap[i] = i;
    for (let i = (k >> 1) - 1; i >= 0; i--) this.#siftDown(i);
    let worst = values[heap[0]!]!;
    for (let i = k; i < values.length; i++) {
      if (values[i]! <= worst) continue;
      heap[0] = i;
      this.#siftDown(0);
      worst = values[heap[0]!]!;
    }
    return heap.sort((a, b) => values[b]! - values[a]! || a - b);
  }

  #isWorse(a: number, b: number): boolean {
    const difference = this.#values[a]! - this.#values[b]!;
    return difference < 0 || (difference === 0 && a > b);
  }

  #siftDown(parent: number): void {
    const heap = this.#heap;
    for (;;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) return;
      if (child + 1 < heap.length && this.#isWorse(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#isWorse(heap[child]!, heap[parent]!)) return;
      [heap[parent], heap[child]] = [heap[child]!, heap[parent]!];
      parent = child;
    }
  }
}
