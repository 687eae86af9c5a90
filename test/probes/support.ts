import type { LabelledFeatures } from '../../src/probes/labelled-features.js';
import { RandomStream } from '../../src/util/random.js';
import { float32, readGoldenJson, readGoldenTensors } from '../support/goldens.js';

export interface ProbeGolden {
  readonly classes: number;
  /** The row of the scaled training set that is all zeros for kNN. */
  readonly zeroRow: number;
  readonly knn: Readonly<Record<string, { readonly top1: number; readonly top5: number }>>;
  readonly logistic: readonly {
    readonly C: number;
    readonly loss: number;
    readonly predictions: readonly number[];
  }[];
  readonly rankMe: { readonly train: number; readonly firstNine: number };
}

export const goldens = readGoldenJson<
  Record<'seven' | 'two', ProbeGolden> & {
    deviation: { of: readonly number[]; mean: number; sd: number };
  }
>('probes');

const tensor = readGoldenTensors('probes');

/** A set of `make_probes.py`, as it was drawn or as scikit-learn standardised it. */
export function goldenFeatures(
  name: 'seven' | 'two',
  part: 'train' | 'val',
  scaled = true,
): LabelledFeatures {
  const { data, shape } = tensor(`${name}.${part}${scaled ? '_scaled' : ''}`);
  const values = float32({ data, shape });
  return { values, size: shape[1]!, labels: Int32Array.from(tensor(`${name}.${part}_labels`).data, Number) };
}

/** Rows around one centre a class. */
export function randomFeatures(
  labels: readonly number[],
  { size = 6, noise = 1, seed = 0 } = {},
): LabelledFeatures {
  const random = new RandomStream(seed, 'sample');
  const classes = Math.max(...labels) + 1;
  const centres = Float32Array.from({ length: classes * size }, () => random.normal());
  const values = new Float32Array(labels.length * size);
  for (let at = 0; at < values.length; at++) {
    const label = labels[Math.floor(at / size)]!;
    values[at] = centres[label * size + (at % size)]! + noise * random.normal();
  }
  return { values, size, labels: Int32Array.from(labels) };
}
