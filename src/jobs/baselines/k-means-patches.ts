import { constant } from '../../compiler/graph/constant.js';
import { type Graph, input, type Value } from '../../compiler/graph/graph.js';
import {
  add,
  cast,
  div,
  less,
  scale,
  shift,
  sqrt,
  square,
  sub,
} from '../../compiler/graph/ops/elementwise.js';
import { gemm } from '../../compiler/graph/ops/linalg.js';
import { concat, reshape, slice, transpose, where } from '../../compiler/graph/ops/movement.js';
import { reduceMean, reduceSum } from '../../compiler/graph/ops/reduction.js';
import { lowerGraph } from '../../compiler/lowering/lower.js';
import { encodeModel } from '../../compiler/onnx/encode.js';
import type { ImageSource } from '../../data/sources/source.js';
import type { Runtime } from '../../runtime/runtime.js';
import { Evaluator } from '../../train/engine/evaluator.js';
import { RandomStream } from '../../util/random.js';
import { collectRows, type FeatureOptions, type FeatureProgress, type FeatureTable } from '../features.js';
import {
  contrastFloor,
  fitPatchFilters,
  normalizePatch,
  type PatchFilters,
  patchNumbers,
  patchSide,
} from './patch-filters.js';
import { pictureInputs } from './pictures.js';

/** Pictures are taken at 64 × 64, and a patch at every second pixel. */
const side = 64;
export const stride = 2;
const places = (side - patchSide) / stride + 1;
/** As in the paper's smaller experiments; four quarters of a picture give four numbers a centroid. */
const centroidCount = 400;
const rounds = 10;
const mostPatches = 100_000;
const batchSize = 16;

type Options = Pick<FeatureOptions, 'numWorkers' | 'exifRotation'> & { readonly seed: number };

/** Finds the filters in patches of training pictures, the same number of each, as far as they are needed. */
export async function fitKMeansPatches(
  runtime: Runtime,
  source: ImageSource,
  { seed, ...options }: Options,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<PatchFilters> {
  const wanted = Math.min(mostPatches, source.length * 100);
  const patches = new Float32Array(wanted * patchNumbers);
  let count = 0;
  await collectRows(
    source,
    {
      inputs: pictureInputs(side, 64),
      shapes: { none: [1] },
      compute: async ({ inputs, imageIndices }) => {
        const images = inputs['images'] as Uint8Array;
        imageIndices.forEach((image, row) => {
          const until = Math.floor(((image + 1) * wanted) / source.length);
          const random = new RandomStream(seed, 'k-means', 0, image);
          const pixels = images.subarray(row * side * side * 3, (row + 1) * side * side * 3);
          for (let n = Math.floor((image * wanted) / source.length); n < until; n++) {
            const patch = patches.subarray(count * patchNumbers, ++count * patchNumbers);
            cutPatch(pixels, random.int(side - patchSide + 1), random.int(side - patchSide + 1), patch);
            normalizePatch(patch);
          }
        });
        return { none: new Float32Array(imageIndices.length) };
      },
    },
    options,
    progress,
    note,
  );
  return fitPatchFilters(runtime, patches.subarray(0, count * patchNumbers), {
    count: Math.min(centroidCount, count),
    rounds,
    seed,
  });
}

/** In the order of the graph: the pixels of one square of `stride` after the other, row, column, colour each. */
export function cutPatch(pixels: Uint8Array, top: number, left: number, patch: Float32Array): void {
  let i = 0;
  for (let square = 0; square < (patchSide / stride) ** 2; square++) {
    const y = top + stride * Math.floor(square / (patchSide / stride));
    const x = left + stride * (square % (patchSide / stride));
    for (let row = y; row < y + stride; row++) {
      const start = (row * side + x) * 3;
      for (let at = start; at < start + stride * 3; at++) patch[i++] = pixels[at]!;
    }
  }
}

/** Responses of the filters over each picture, summed in its four quarters: [N, 4·K]. */
export async function kMeansPatchTable(
  runtime: Runtime,
  filters: PatchFilters,
  source: ImageSource,
  options: Options,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<FeatureTable> {
  const count = filters.centroids.length / patchNumbers;
  const inputs = pictureInputs(side, batchSize);
  const graph = lowerGraph(responseGraph(count), { lacks: runtime.device.lacks });
  const evaluator = new Evaluator(
    runtime,
    encodeModel(graph),
    {
      inputs,
      outputs: [{ name: 'responses', shape: [batchSize, 4 * count] }],
      parameters: [
        { name: 'mean', shape: [patchNumbers] },
        { name: 'whitening', shape: [patchNumbers, patchNumbers] },
        { name: 'centroids', shape: [count, patchNumbers] },
      ],
    },
    (name) => filters[name as keyof PatchFilters],
  );
  try {
    const { responses } = await collectRows(
      source,
      {
        inputs,
        shapes: { responses: [4 * count] },
        compute: async (batch) => {
          await evaluator.run(batch.inputs);
          return { responses: evaluator.outputs['responses']! };
        },
      },
      options,
      progress,
      note,
    );
    return responses;
  } finally {
    evaluator.release();
  }
}

/** images uint8 [B, 64, 64, 3] → responses [B, 4·K]. */
function responseGraph(count: number): Graph {
  const images = input('images', 'uint8', [batchSize, side, side, 3]);
  const mean = input('mean', 'float32', [patchNumbers]);
  const whitening = input('whitening', 'float32', [patchNumbers, patchNumbers]);
  const centroids = input('centroids', 'float32', [count, patchNumbers]);
  const patches = standardPatches(cast(images, 'float32')); // [B·places², P]
  const white = gemm(sub(patches, mean), whitening);
  // triangle: max(0, mean of all distances − distance)
  const distances = sqrt(squaredDistances(white, centroids)); // [B·places², K]
  const activation = sub(reduceMean(distances, [1], true), distances);
  const zero = constant('float32', [1, 1], Float32Array.of(0));
  const triangle = reshape(where(less(zero, activation), activation, zero), [
    batchSize,
    places,
    places,
    count,
  ]);
  const half = Math.floor(places / 2);
  const halves = [
    [0, half],
    [half, places],
  ] as const;
  const quarters = halves.flatMap(([top, bottom]) =>
    halves.map(([left, right]) => reduceSum(slice(slice(triangle, 1, top, bottom), 2, left, right), [1, 2])),
  );
  return {
    name: 'k_means_patches',
    inputs: [images, mean, whitening, centroids],
    outputs: [{ name: 'responses', value: concat(quarters, 1) }],
  };
}

/** Patches of a picture, normalised as `normalizePatch` does. [B, H, W, 3] → [B·places², P]. */
function standardPatches(pixels: Value): Value {
  const [squares, size] = [side / stride, stride * stride * 3];
  const grid = reshape(pixels, [batchSize, squares, stride, squares, stride, 3]);
  const cells = reshape(transpose(grid, [0, 1, 3, 2, 4, 5]), [batchSize, squares, squares, size]);
  const reach = Array.from({ length: patchSide / stride }, (_, i) => i);
  const rows = reach.map((y) => slice(cells, 1, y, y + places));
  const parts = rows.flatMap((row) => reach.map((x) => slice(row, 2, x, x + places)));
  const patches = reshape(concat(parts, 3), [batchSize * places * places, patchNumbers]);
  const centered = sub(patches, reduceMean(patches, [1], true));
  return div(centered, sqrt(shift(reduceMean(square(centered), [1], true), contrastFloor)));
}

/** ‖x‖² − 2·x·c + ‖c‖², not below 0. [M, P], [K, P] → [M, K]. */
function squaredDistances(x: Value, centroids: Value): Value {
  const own = reduceSum(square(x), [1], true);
  const theirs = reshape(reduceSum(square(centroids), [1]), [1, centroids.shape[0]!]);
  const distances = add(add(scale(gemm(x, centroids, { transB: true }), -2), own), theirs);
  const zero = constant('float32', [1, 1], Float32Array.of(0));
  return where(less(zero, distances), distances, zero);
}
