/** The MAE goldens: a model of transformers with its inputs, parameters, results and gradients. */
import { type ModelConfig, patchCount } from '../../src/model/config.js';
import { maeParameters } from '../../src/model/parameters.js';
import { float32, type Golden, readGoldenJson, readGoldenTensors } from './goldens.js';
import type { Arrays } from './run-graph.js';

export const maeGoldens = ['mae-small', 'mae-small-plain'] as const;

export interface MaeGolden {
  readonly config: SquareConfig;
  readonly batch: number;
  readonly kept: number;
  readonly maskRatio: number;
  readonly normPixLoss: boolean;
  readonly loss: number;
  /** Mean and deviation of the channels of pixels in [0, 1]. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly tensor: Golden;
  /** images, ids_shuffle and every parameter, by the names of our graphs. */
  readonly inputs: Arrays;
  readonly images: Uint8Array;
  /** ids_shuffle as numbers, [B][L]. */
  readonly shuffles: readonly number[][];
}

/** The goldens' images are square. */
type SquareConfig = ModelConfig & { readonly inputSize: number };

export function readMaeGolden(name: (typeof maeGoldens)[number]): MaeGolden {
  const json = readGoldenJson<
    Record<string, number> & { normPixLoss: boolean; mean: number[]; std: number[] }
  >(name);
  const tensor = readGoldenTensors(name);
  const config: SquareConfig = {
    inputSize: json['imageSize']!,
    patchSize: json['patchSize']!,
    embedDim: json['width']!,
    depth: json['depth']!,
    numHeads: json['heads']!,
    decoderEmbedDim: json['decoderWidth']!,
    decoderDepth: json['decoderDepth']!,
    decoderNumHeads: json['decoderHeads']!,
    mlpRatio: json['mlpRatio']!,
  };
  const patches = patchCount(config);
  const ids = tensor('ids_shuffle').data;
  return {
    config,
    batch: json['batch']!,
    kept: json['kept']!,
    maskRatio: json['maskRatio']!,
    normPixLoss: json.normPixLoss,
    loss: json['loss']!,
    mean: json.mean,
    std: json.std,
    tensor,
    inputs: {
      images: tensor('images').data,
      ids_shuffle: ids,
      ...Object.fromEntries(maeParameters(config).map((spec) => [spec.name, tensor(spec.name).data])),
    },
    images: tensor('images').data as Uint8Array,
    shuffles: Array.from({ length: json['batch']! }, (_, b) =>
      Array.from(ids.subarray(b * patches, (b + 1) * patches), Number),
    ),
  };
}

/** Rows [B, N, size] of our shuffled order at their place in the image: row i of image b is patch shuffles[b][i]. */
export function unshuffle(rows: Float32Array, shuffles: readonly number[][], size: number): Float32Array {
  const result = new Float32Array(rows.length).fill(Number.NaN);
  shuffles.forEach((shuffle, b) => {
    shuffle.forEach((patch, i) => {
      const from = (b * shuffle.length + i) * size;
      result.set(rows.subarray(from, from + size), (b * shuffle.length + patch) * size);
    });
  });
  return result;
}

/** One patch of a uint8 image [H, W, 3], flattened row, column, channel. */
export function patchOf({ config, images }: MaeGolden, image: number, patch: number): Uint8Array {
  const { inputSize: side, patchSize: size } = config;
  const across = side / size;
  const [top, left] = [Math.floor(patch / across) * size, (patch % across) * size];
  const result = new Uint8Array(size * size * 3);
  for (let row = 0; row < size; row++) {
    const start = ((image * side + top + row) * side + left) * 3;
    result.set(images.subarray(start, start + size * 3), row * size * 3);
  }
  return result;
}

export function goldenNumbers(golden: MaeGolden, name: string): Float32Array {
  return float32(golden.tensor(name));
}
