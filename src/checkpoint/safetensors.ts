/**
 * Safetensors files: u64 little-endian length of the header, the header (JSON), the data of the tensors
 * without gaps. https://huggingface.co/docs/safetensors describes the format. Numbers are little-endian, as is
 * every machine that Node and ONNX Runtime's package run on together.
 */
import { type FileHandle, open, rm, stat } from 'node:fs/promises';
import { UserError } from '../util/errors.js';
import { explained, formatBytes } from './durable-files.js';
import {
  byteLength,
  type Dtype,
  damaged,
  decodeHeader,
  encodeHeader,
  type Header,
  type TensorEntry,
} from './safetensors-header.js';

export interface TensorToWrite {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Its bytes, or how to get them when their turn comes (from a device: one tensor in memory at a time). */
  readonly data: Uint8Array | (() => Uint8Array | Promise<Uint8Array>);
}

export interface SafetensorsFile extends Header {
  readonly path: string;
  /** Where the data starts in the file. */
  readonly dataStart: number;
  readonly handle: FileHandle;
  close(): Promise<void>;
}

// One read or write call takes less than 2^31 bytes; smaller pieces keep the thread pool free for others.
const maxCallBytes = 2 ** 28;

// The limit of the published readers.
const maxHeaderBytes = 100_000_000;

/**
 * Writes tensors in the given order: the same tensors give the same bytes. Durable when it returns; what it
 * could not finish, it removes.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Record<string, string> = {},
): Promise<void> {
  const list = [...tensors];
  const entries: TensorEntry[] = [];
  const names = new Set<string>();
  let total = 0;
  for (const { name, dtype, shape } of list) {
    const bytes = byteLength(dtype, shape);
    if (bytes === undefined) throw new Error(`writeSafetensors: ${name} is too large: [${shape.join(', ')}]`);
    if (names.has(name) || name === '__metadata__') throw new Error(`writeSafetensors: ${name} is taken`);
    names.add(name);
    entries.push({ name, dtype, shape, offset: total, bytes });
    total += bytes;
  }
  const header = encodeHeader(entries, metadata);

  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'w');
    await writeAll(handle, header);
    for (const [i, { data }] of list.entries()) {
      const bytes = typeof data === 'function' ? await data() : data;
      if (bytes.byteLength !== entries[i]!.bytes) {
        throw new Error(
          `writeSafetensors: ${entries[i]!.name} has ${entries[i]!.bytes} bytes, got ${bytes.byteLength}`,
        );
      }
      await writeAll(handle, bytes);
    }
    await handle.sync();
    await handle.close(); // network file systems report a full disk here
  } catch (error) {
    if (handle !== undefined) {
      await handle.close().catch(() => {});
      await rm(path, { force: true }).catch(() => {});
    }
    throw explained(error, 'safetensors', `to write ${formatBytes(header.byteLength + total)} to ${path}`);
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, done, Math.min(bytes.byteLength - done, maxCallBytes));
    done += bytesWritten;
  }
}

/** Opens a file and checks its whole header against its size; close() it. UserError if anything is wrong. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  let handle: FileHandle | undefined;
  try {
    // Before it is opened: to open a pipe would wait for its writer.
    if (!(await stat(path)).isFile()) {
      throw new UserError(`safetensors: expected ${path} to be a file, got a folder or device; give a file`);
    }
    const opened = await open(path, 'r');
    handle = opened;
    const fileBytes = (await opened.stat()).size;
    const { dataStart, json } = await readHeader(opened, fileBytes, path);
    const header = decodeHeader(json, fileBytes - dataStart, path);
    return { ...header, path, dataStart, handle, close: () => opened.close() };
  } catch (error) {
    await handle?.close().catch(() => {});
    throw explained(error, 'safetensors', `to read ${path}`);
  }
}

async function readHeader(handle: FileHandle, fileBytes: number, path: string) {
  if (fileBytes < 8) throw damaged(path, `${fileBytes} bytes`);
  const prefix = Buffer.alloc(8);
  await readAll(handle, prefix, 0, path);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > maxHeaderBytes || headerBytes > fileBytes - 8) {
    throw damaged(path, `a header of ${headerBytes} bytes in a file of ${fileBytes}`);
  }
  const json = new Uint8Array(Number(headerBytes));
  await readAll(handle, json, 8, path);
  return { dataStart: 8 + json.byteLength, json };
}

async function readAll(handle: FileHandle, into: Uint8Array, position: number, path: string): Promise<void> {
  for (let done = 0; done < into.byteLength; ) {
    const length = Math.min(into.byteLength - done, maxCallBytes);
    const { bytesRead } = await handle.read(into, done, length, position + done);
    if (bytesRead === 0) {
      throw new UserError(
        `safetensors: expected ${into.byteLength} bytes at ${position} of ${path}, got ${done}; ` +
          'the file became shorter while it was read: run again when nothing writes to it',
      );
    }
    done += bytesRead;
  }
}

/** The entry of a tensor; UserError with names like it if the file has none of that name. */
export function tensorEntry(file: SafetensorsFile, name: string): TensorEntry {
  const entry = file.tensors.get(name);
  if (entry !== undefined) return entry;
  const names = [...file.tensors.keys()];
  const some = names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '');
  throw new UserError(
    `safetensors: expected a tensor ${name} in ${file.path}, got ${names.length} others (${some}); ` +
      'give a file of the model that is asked for',
  );
}

/** Reads the bytes of a tensor into memory of exactly that size. */
export async function readTensorInto(
  file: SafetensorsFile,
  name: string,
  destination: Uint8Array,
): Promise<void> {
  const { dtype, shape, offset, bytes } = tensorEntry(file, name);
  if (destination.byteLength !== bytes) {
    throw new UserError(
      `safetensors: expected ${name} in ${file.path} to have ${destination.byteLength} bytes, got ${bytes} ` +
        `(${dtype} [${shape.join(', ')}]); give a file of the model that is asked for`,
    );
  }
  try {
    await readAll(file.handle, destination, file.dataStart + offset, file.path);
  } catch (error) {
    throw explained(error, 'safetensors', `to read ${name} from ${file.path}`);
  }
}

/** How readTensor returns each type: the 16-bit floats as their bits, the 8-bit ones as bytes, C64 as pairs. */
const arrayOf = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
  F8_E8M0: Uint8Array,
  U16: Uint16Array,
  I16: Int16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U32: Uint32Array,
  I32: Int32Array,
  F32: Float32Array,
  U64: BigUint64Array,
  I64: BigInt64Array,
  F64: Float64Array,
  C64: Float32Array,
} as const satisfies Record<Dtype, unknown>;
export type TensorArray = InstanceType<(typeof arrayOf)[Dtype]>;

/** The elements of a tensor in a new array of its own type; see `arrayOf`. */
export async function readTensor(file: SafetensorsFile, name: string): Promise<TensorArray> {
  const { dtype, bytes } = tensorEntry(file, name);
  const buffer = new ArrayBuffer(bytes);
  await readTensorInto(file, name, new Uint8Array(buffer));
  return new arrayOf[dtype](buffer);
}

/** The elements of an F32, F16, BF16 or F64 tensor as float32. */
export async function readFloat32(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const { dtype } = tensorEntry(file, name);
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16' && dtype !== 'F64') {
    throw new UserError(
      `safetensors: expected ${name} in ${file.path} to be F32, F16, BF16 or F64, got ${dtype}; ` +
        'give a file of the model that is asked for',
    );
  }
  const array = await readTensor(file, name);
  if (dtype === 'F32') return array as Float32Array;
  if (dtype === 'F16') return halfToFloat32(array as Uint16Array);
  if (dtype === 'BF16') return bfloat16ToFloat32(array as Uint16Array);
  return Float32Array.from(array as Float64Array);
}

/** A bfloat16 is the upper half of a float32. */
function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return new Float32Array(out.buffer);
}

/** IEEE 754 binary16 (1 sign, 5 exponent, 10 fraction bits) to binary32 (1, 8, 23), exactly. */
function halfToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  const values = new Float32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 0) {
      values[i] = fraction / 2 ** 24; // zero and subnormals
      out[i] = out[i]! | sign;
    } else {
      // 127 − 15 = 112 is the difference of the biases; infinities and NaNs keep an exponent of all ones.
      out[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
    }
  }
  return values;
}
