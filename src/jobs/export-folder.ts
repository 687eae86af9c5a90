import type { ParameterSpec } from '../model/parameters.js';
import { bytesOf } from '../util/bytes.js';
import type { TensorToWrite } from '../weights/checkpoint/safetensors.js';
import { toTransformersNames } from '../weights/foreign/tensor-names.js';

/** What a folder for another library holds. */
export interface ExportedFolder {
  /** Files of JSON by their names. */
  readonly configs: Readonly<Record<string, Record<string, unknown>>>;
  /** Of model.safetensors. */
  readonly metadata: Record<string, string>;
  readonly tensors: TensorToWrite[];
}

type Values = ReadonlyMap<string, Float32Array>;

export function tensorOf({ name, shape }: ParameterSpec, values: Values): TensorToWrite {
  return { name, dtype: 'F32', shape, data: bytesOf(values.get(name)!) };
}

/** One tensor, or the rows of queries, keys and values as three; with `isBare` without what stands before an encoder's. */
export function transformersTensors(
  { name, shape }: ParameterSpec,
  values: Values,
  isBare: boolean,
): TensorToWrite[] {
  const names = toTransformersNames(name, isBare);
  const data = values.get(name)!;
  const length = data.length / names.length;
  const partShape = [shape[0]! / names.length, ...shape.slice(1)];
  return names.map((part, i) => ({
    name: part,
    dtype: 'F32',
    shape: partShape,
    data: bytesOf(data.subarray(i * length, (i + 1) * length)),
  }));
}
