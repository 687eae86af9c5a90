/** Reads `test/goldens`: JSON, and safetensors by a few lines of its own, so that no test judges src by src. */
import { readFileSync } from 'node:fs';
import type { HostArray } from '../../src/runtime/tensor.js';
import type { Shape } from '../../src/util/shape.js';

export interface GoldenTensor {
  readonly shape: Shape;
  readonly data: HostArray;
}

const folder = new URL('../goldens/', import.meta.url);

export function readGoldenJson<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as T;
}

/** A tensor of a golden file by name; throws where there is none. */
export type Golden = (name: string) => GoldenTensor;

export function readGoldenTensors(name: string): Golden {
  return parseSafetensors(readFileSync(new URL(`${name}.safetensors`, folder)), name);
}

const arrayOf = { F32: Float32Array, F64: Float64Array, I64: BigInt64Array, U8: Uint8Array } as const;

function parseSafetensors(file: Uint8Array, where: string): Golden {
  const bytes = file.slice(); // at offset 0 of a buffer of its own
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(bytes.buffer, 8, headerBytes).toString()) as Record<
    string,
    { dtype: keyof typeof arrayOf; shape: number[]; data_offsets: [number, number] }
  >;
  return (name) => {
    const entry = header[name];
    if (entry === undefined) throw new Error(`${where}: no golden tensor ${name}`);
    const [start, end] = entry.data_offsets.map((offset) => 8 + headerBytes + offset);
    return { shape: entry.shape, data: new arrayOf[entry.dtype](bytes.buffer.slice(start, end)) };
  };
}

/** The numbers of a float32 golden. */
export function float32(tensor: GoldenTensor): Float32Array {
  if (!(tensor.data instanceof Float32Array)) throw new TypeError('float32: a golden of another type');
  return tensor.data;
}
