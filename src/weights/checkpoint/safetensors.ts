/**
 * Safetensors files: u64 little-endian length of the header, the header (JSON), the data of the tensors
 * without gaps. https://huggingface.co/docs/safetensors describes the format. Numbers are little-endian, as is
 * every machine that Node and ONNX Runtime's package run on together.
 */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { UserError } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';
import { arrayFrom, byteLength, checkFloat, type Dtype, type TensorArray, toFloat32 } from './dtypes.js';
import { formatBytes } from './durable-files.js';
import { maxCallBytes, openRegularFile, readRegion } from './file-regions.js';
import { damaged, decodeHeader, encodeHeader, type Header, type TensorEntry } from './safetensors-header.js';

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
    const opened = await openRegularFile(path, 'safetensors');
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
  await readRegion(handle, prefix, 0, 'safetensors', path);
  const headerBytes = prefix.readBigUInt64LE();
  if (headerBytes > maxHeaderBytes || headerBytes > fileBytes - 8) {
    throw damaged(path, `a header of ${headerBytes} bytes in a file of ${fileBytes}`);
  }
  const json = new Uint8Array(Number(headerBytes));
  await readRegion(handle, json, 8, 'safetensors', path);
  return { dataStart: 8 + json.byteLength, json };
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
    await readRegion(file.handle, destination, file.dataStart + offset, 'safetensors', file.path);
  } catch (error) {
    throw explained(error, 'safetensors', `to read ${name} from ${file.path}`);
  }
}

/** The elements of a tensor in a new array of its own type. */
export async function readTensor(file: SafetensorsFile, name: string): Promise<TensorArray> {
  const { dtype, bytes } = tensorEntry(file, name);
  const buffer = new ArrayBuffer(bytes);
  await readTensorInto(file, name, new Uint8Array(buffer));
  return arrayFrom(dtype, buffer);
}

/** The elements of an F32, F16, BF16 or F64 tensor as float32. */
export async function readFloat32(file: SafetensorsFile, name: string): Promise<Float32Array> {
  const { dtype } = tensorEntry(file, name);
  checkFloat(dtype, `safetensors: expected ${name} in ${file.path}`);
  return toFloat32(dtype, await readTensor(file, name));
}

/** Opens a file for the time of `use`. */
export async function withSafetensors<T>(
  path: string,
  use: (file: SafetensorsFile) => Promise<T>,
): Promise<T> {
  const file = await openSafetensors(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
