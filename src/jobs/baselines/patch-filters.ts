/**
 * What k-means finds in patches of pictures: Coates, Lee & Ng, "An Analysis of Single-Layer Networks in Unsupervised
 * Feature Learning", AISTATS 2011. Patches are normalised, whitened by ZCA and put into clusters.
 */
import { EVD, Matrix } from 'ml-matrix';
import { input } from '../../compiler/graph/graph.js';
import { gemm } from '../../compiler/graph/ops/linalg.js';
import { lowerGraph } from '../../compiler/lowering/lower.js';
import { encodeModel } from '../../compiler/onnx/encode.js';
import type { Runtime } from '../../runtime/runtime.js';
import { RandomStream } from '../../util/random.js';

/** Numbers of a patch of 6 × 6 pixels in three colours. */
export const patchSide = 6;
export const patchNumbers = patchSide * patchSide * 3;

export interface PatchFilters {
  /** Mean of the normalised patches, [P]. */
  readonly mean: Float32Array;
  /** V·(Λ + ε)^−½·Vᵀ, [P, P]. */
  readonly whitening: Float32Array;
  /** [K, P] */
  readonly centroids: Float32Array;
}

/** Added to a patch's variance, of pixels from 0 to 255, and to the eigenvalues of the covariance. */
export const contrastFloor = 10;
const whiteningEpsilon = 0.1;

/** (x − mean) / √(var + 10), over the numbers of one patch. In place. */
export function normalizePatch(patch: Float32Array): void {
  let sum = 0;
  for (const value of patch) sum += value;
  const mean = sum / patch.length;
  let squares = 0;
  for (const value of patch) squares += (value - mean) ** 2;
  const factor = 1 / Math.sqrt(squares / patch.length + contrastFloor);
  for (let i = 0; i < patch.length; i++) patch[i] = (patch[i]! - mean) * factor;
}

/** Whitens patches and finds `count` centroids. patches: normalised, [M, P]; they are whitened in place. */
export async function fitPatchFilters(
  runtime: Runtime,
  patches: Float32Array,
  { count, rounds, seed }: { readonly count: number; readonly rounds: number; readonly seed: number },
): Promise<PatchFilters> {
  const { mean, whitening } = whiteningOf(patches);
  await whiten(runtime, patches, mean, whitening);
  return { mean, whitening, centroids: await kMeans(runtime, patches, { count, rounds, seed }) };
}

/** Mean [P] and ZCA matrix [P, P] of patches [M, P]. */
export function whiteningOf(patches: Float32Array): Pick<PatchFilters, 'mean' | 'whitening'> {
  const size = patchNumbers;
  const rows = patches.length / size;
  const mean = new Float64Array(size);
  const products = new Float64Array(size * size);
  for (let row = 0; row < rows; row++) {
    const patch = patches.subarray(row * size, (row + 1) * size);
    for (let i = 0; i < size; i++) {
      const value = patch[i]!;
      mean[i]! += value / rows;
      for (let j = i; j < size; j++) products[i * size + j]! += value * patch[j]!;
    }
  }
  const covariance = Matrix.zeros(size, size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      const value = products[i * size + j]! / rows - mean[i]! * mean[j]!;
      covariance.set(i, j, value);
      covariance.set(j, i, value);
    }
  }
  const { realEigenvalues, eigenvectorMatrix } = new EVD(covariance, { assumeSymmetric: true });
  const scaled = eigenvectorMatrix.clone();
  for (let i = 0; i < size; i++) {
    scaled.mulColumn(i, 1 / Math.sqrt(Math.max(0, realEigenvalues[i]!) + whiteningEpsilon));
  }
  const whitening = scaled.mmul(eigenvectorMatrix.transpose());
  return { mean: Float32Array.from(mean), whitening: Float32Array.from(whitening.to1DArray()) };
}

/** (patches − mean)·whitening, in place. */
async function whiten(
  runtime: Runtime,
  patches: Float32Array,
  mean: Float32Array,
  whitening: Float32Array,
): Promise<void> {
  const offset = new Float32Array(patchNumbers); // −mean·W
  for (let i = 0; i < patchNumbers; i++) {
    for (let j = 0; j < patchNumbers; j++) offset[j]! -= mean[i]! * whitening[i * patchNumbers + j]!;
  }
  await products(runtime, patches, transposed(whitening), offset, (start, rows) => patches.set(rows, start));
}

/** The whitening matrix is symmetric but for rounding. */
function transposed(square: Float32Array): Float32Array {
  const size = Math.sqrt(square.length);
  return Float32Array.from(square, (_, i) => square[(i % size) * size + Math.floor(i / size)]!);
}

/** Lloyd's algorithm from patches drawn by the seed; a centroid without patches is drawn anew. [M, P] → [K, P]. */
async function kMeans(
  runtime: Runtime,
  patches: Float32Array,
  { count, rounds, seed }: { readonly count: number; readonly rounds: number; readonly seed: number },
): Promise<Float32Array> {
  const size = patchNumbers;
  const rows = patches.length / size;
  const random = new RandomStream(seed, 'k-means', 1);
  const centroids = new Float32Array(count * size);
  const draw = (k: number) => {
    const row = random.int(rows);
    centroids.set(patches.subarray(row * size, (row + 1) * size), k * size);
  };
  for (let k = 0; k < count; k++) draw(k);
  for (let round = 0; round < rounds; round++) {
    const sums = new Float64Array(count * size);
    const members = new Int32Array(count);
    // the nearest centroid has the largest x·c − ‖c‖²/2
    const offset = Float32Array.from({ length: count }, (_, k) => {
      const centroid = centroids.subarray(k * size, (k + 1) * size);
      return -0.5 * centroid.reduce((sum, value) => sum + value * value, 0);
    });
    await products(runtime, patches, centroids, offset, (start, scores) => {
      for (let at = 0; at < scores.length; at += count) {
        let best = 0;
        for (let k = 1; k < count; k++) if (scores[at + k]! > scores[at + best]!) best = k;
        members[best]!++;
        const patch = (start / count) * size + (at / count) * size;
        for (let i = 0; i < size; i++) sums[best * size + i]! += patches[patch + i]!;
      }
    });
    for (let k = 0; k < count; k++) {
      if (members[k] === 0) draw(k);
      else for (let i = 0; i < size; i++) centroids[k * size + i] = sums[k * size + i]! / members[k]!;
    }
  }
  return centroids;
}

/** Rows that one product takes. */
const blockRows = 4096;

/** x·Wᵀ + offset, block by block. x: [M, P]; weight: [N, P]; `use` gets the place of the first number, and [rows, N]. */
async function products(
  runtime: Runtime,
  x: Float32Array,
  weight: Float32Array,
  offset: Float32Array,
  use: (start: number, values: Float32Array) => void,
): Promise<void> {
  const size = patchNumbers;
  const [rows, columns] = [x.length / size, offset.length];
  const inputs = [
    input('x', 'float32', [blockRows, size]),
    input('weight', 'float32', [columns, size]),
    input('offset', 'float32', [columns]),
  ] as const;
  const y = gemm(inputs[0], inputs[1], { transB: true, c: inputs[2] });
  const graph = lowerGraph(
    { name: 'products', inputs: [...inputs], outputs: [{ name: 'y', value: y }] },
    { lacks: runtime.device.lacks },
  );
  const session = runtime.createSession(encodeModel(graph));
  const block = new Float32Array(blockRows * size);
  const result = new Float32Array(blockRows * columns);
  const tensors = {
    x: runtime.tensor(block, [blockRows, size]),
    weight: runtime.tensor(weight, [columns, size]),
    offset: runtime.tensor(offset, [columns]),
  };
  const output = runtime.tensor(result, [blockRows, columns]);
  const binding = session.bind(tensors, { y: output });
  try {
    for (let row = 0; row < rows; row += blockRows) {
      const end = Math.min(rows, row + blockRows);
      block.set(x.subarray(row * size, end * size));
      binding.send('x');
      await binding.run();
      use(row * columns, result.subarray(0, (end - row) * columns));
    }
  } finally {
    session.release();
    for (const tensor of [...Object.values(tensors), output]) tensor.release();
  }
}
