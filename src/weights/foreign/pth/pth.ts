/**
 * .pth files of torch.save since torch 1.6: a zip of stored entries `<name>/data.pkl` (a pickle) and
 * `<name>/data/<key>` (the numbers of a storage). Opened, the file's tensors are known; their numbers are read one
 * tensor at a time, from their place in the file. Nothing in the file is run; see `pickle.ts`.
 */
import type { FileHandle } from 'node:fs/promises';
import { fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl';
import { messageOf, UserError } from '../../../util/errors.js';
import { explained } from '../../../util/system-errors.js';
import { arrayFrom, byteLength, checkFloat, type TensorArray, toFloat32 } from '../../checkpoint/dtypes.js';
import { openRegularFile, readRegion } from '../../checkpoint/file-regions.js';
import type { WeightSource } from '../weight-source.js';
import { Fields, type PickleValue } from './pickle.js';
import { gatherStrided, isContiguous, regionOf, TorchTensor, unpickleTorch } from './torch-pickle.js';

export interface PthFile extends WeightSource {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  /** The elements of a tensor, in the order of their indices, in a new array of its own type. */
  readTensor(name: string): Promise<TensorArray>;
}

interface Region {
  /** First byte in the file. */
  readonly start: number;
  readonly bytes: number;
}

/** A pickle of a checkpoint with an optimizer takes less than 1 MB. */
const largestPickle = 2 ** 25;

/** Opens a file and checks every tensor of its state dict against it; close() it. UserError if anything is wrong. */
export async function openPth(path: string): Promise<PthFile> {
  let handle: FileHandle | undefined;
  try {
    handle = await openRegularFile(path, 'pth');
    return await read(handle, path);
  } catch (error) {
    await handle?.close().catch(() => {});
    throw explained(error, 'pth', `to read ${path}`);
  }
}

async function read(handle: FileHandle, path: string): Promise<PthFile> {
  const bad = (got: string) => damaged(path, got);
  const fileBytes = (await handle.stat()).size;
  await refuseOldFormats(handle, fileBytes, path);
  const entries = await readEntries(handle, fileBytes, path);
  const roots = [...entries.keys()].filter((name) => /^[^/]*\/data\.pkl$/.test(name));
  if (roots.length !== 1) throw bad(`a zip file with ${roots.length} entries called data.pkl`);
  const root = roots[0]!.slice(0, -'data.pkl'.length);

  const order = entries.get(`${root}byteorder`);
  if (order !== undefined && order.bytes <= 16) {
    const text = Buffer.from(await readBytes(handle, order, path)).toString();
    if (text !== 'little') {
      throw bad(`numbers in ${JSON.stringify(text)} byte order (here only little is read)`);
    }
  }
  const pickle = entries.get(roots[0]!)!;
  if (pickle.bytes > largestPickle) throw bad(`a data.pkl of ${pickle.bytes} bytes`);
  const value = unpickleTorch(await readBytes(handle, pickle, path), path);
  const tensors = stateDict(value, path);

  const regions = new Map<string, Region>();
  let total = 0;
  for (const [name, tensor] of tensors) {
    const storage = entries.get(`${root}data/${tensor.storage.key}`);
    if (storage === undefined) throw bad(`no data for tensor ${JSON.stringify(name)}`);
    const region = regionOf(tensor, storage.bytes);
    if (typeof region === 'string') throw bad(`${region} for tensor ${JSON.stringify(name)}`);
    regions.set(name, { start: storage.start + region.start, bytes: region.bytes });
    total += byteLength(tensor.dtype, tensor.shape)!;
  }
  // Tensors may share a storage; but then a small file could ask for any amount of memory.
  if (total > fileBytes) throw bad(`tensors of ${total} bytes in a file of ${fileBytes}`);

  const readTensor = async (name: string): Promise<TensorArray> => {
    const tensor = tensors.get(name)!;
    const region = await readBytes(handle, regions.get(name)!, path);
    const ordered = isContiguous(tensor) ? region : gatherStrided(region, tensor);
    return arrayFrom(tensor.dtype, ordered.buffer);
  };
  return {
    path,
    tensors,
    metadata: optionsOf(value),
    readTensor,
    readFloat32: async (name) => {
      const { dtype } = tensors.get(name)!;
      checkFloat(dtype, `pth: expected ${name} in ${path}`);
      return toFloat32(dtype, await readTensor(name));
    },
    close: () => handle.close(),
  };
}

async function readBytes(handle: FileHandle, { start, bytes }: Region, path: string) {
  const into = new Uint8Array(bytes);
  await readRegion(handle, into, start, 'pth', path);
  return into;
}

// The long integer 0x1950a86a20f9469cfc6c, pickled: how torch.save began before torch 1.6.
const legacyMagic = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex');

async function refuseOldFormats(handle: FileHandle, fileBytes: number, path: string): Promise<void> {
  const start = new Uint8Array(Math.min(512, fileBytes));
  await readRegion(handle, start, 0, 'pth', path);
  const bytes = Buffer.from(start.buffer);
  const isTar = bytes.toString('latin1', 257, 262) === 'ustar';
  if (isTar || bytes.subarray(2, 2 + legacyMagic.length).equals(legacyMagic)) {
    throw new UserError(
      `pth: expected a zip file of torch.save in ${path}, got its ${isTar ? 'tar' : 'old'} format of before torch 1.6; ` +
        'save it again with a recent torch: torch.save(torch.load(old, map_location="cpu"), new)',
    );
  }
  if (bytes.toString('latin1', 0, 2) !== 'PK') throw damaged(path, 'no zip file');
}

/** What yauzl reads through. Its own reader lets Node throw, past every catch, where a file names an absurd place. */
class FileReader extends RandomAccessReader {
  readonly #handle: FileHandle;
  readonly #fileBytes: number;

  constructor(handle: FileHandle, fileBytes: number) {
    super();
    this.#handle = handle;
    this.#fileBytes = fileBytes;
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null, bytesRead?: number) => void,
  ): void {
    if (!(position >= 0 && position + length <= this.#fileBytes)) {
      const end = `bytes ${position} to ${position + length} of ${this.#fileBytes}`;
      process.nextTick(callback, new Error(end));
      return;
    }
    this.#handle.read(buffer, offset, length, position).then(
      // outside of the promise: what a callback throws is not a failure to read
      ({ bytesRead }) => process.nextTick(callback, null, bytesRead),
      (error: Error) => process.nextTick(callback, error),
    );
  }

  /** The file is closed by whoever opened it. */
  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

/** Where each entry's bytes lie in the file. */
async function readEntries(
  handle: FileHandle,
  fileBytes: number,
  path: string,
): Promise<Map<string, Region>> {
  const entries = new Map<string, Region>();
  try {
    const reader = new FileReader(handle, fileBytes);
    const zip: ZipFile = await fromRandomAccessReaderPromise(reader, fileBytes, { autoClose: false });
    for await (const entry of zip.eachEntry()) {
      const { fileName, compressionMethod, compressedSize, uncompressedSize } = entry;
      if (!/^[^/]*\/(data\.pkl|byteorder|data\/[^/]+)$/.test(fileName)) continue;
      if (compressionMethod !== 0 || compressedSize !== uncompressedSize || entry.isEncrypted()) {
        throw damaged(path, `the entry ${JSON.stringify(fileName)} packed, which torch.save never does`);
      }
      if (entries.has(fileName)) throw damaged(path, `the entry ${JSON.stringify(fileName)} twice`);
      const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
      entries.set(fileName, { start: fileDataStart, bytes: uncompressedSize });
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw damaged(path, `a zip file that cannot be read (${messageOf(error).slice(0, 100)})`);
  }
  return entries;
}

const stateDictKeys = ['model', 'state_dict', 'model_state_dict'];

/**
 * Tensors by name: of the state dict of a training checkpoint, of the value itself, or of the state dicts in it, each
 * under its key (`teacher.` and so on).
 */
function stateDict(value: PickleValue, path: string): Map<string, TorchTensor> {
  const known = value instanceof Map ? stateDictKeys.map((key) => value.get(key)) : [];
  for (const candidate of [...known, value]) {
    const tensors = tensorsOf(candidate);
    if (tensors.size > 0) return tensors;
  }
  const all = new Map<string, TorchTensor>();
  for (const [key, inner] of value instanceof Map ? value : []) {
    if (typeof key === 'string')
      for (const [name, tensor] of tensorsOf(inner)) all.set(`${key}.${name}`, tensor);
  }
  if (all.size > 0) return all;
  throw new UserError(
    `pth: expected a state dict, or a training checkpoint with one as its "model", in ${path}, got no tensors by name; ` +
      'save model.state_dict() from Python',
  );
}

function tensorsOf(value: PickleValue | undefined): Map<string, TorchTensor> {
  const tensors = new Map<string, TorchTensor>();
  for (const [key, tensor] of value instanceof Map ? value : []) {
    if (typeof key === 'string' && tensor instanceof TorchTensor) tensors.set(key, tensor);
  }
  return tensors;
}

/** Texts, numbers and truths of the options that a training checkpoint keeps as its `args`. */
function optionsOf(value: PickleValue): Record<string, string> {
  const args = value instanceof Map ? value.get('args') : undefined;
  const options = new Map<string, string>();
  for (const [name, option] of args instanceof Fields ? args.fields : []) {
    const isPlain = typeof option === 'string' || typeof option === 'number' || typeof option === 'boolean';
    if (typeof name === 'string' && isPlain) options.set(name, String(option));
  }
  return Object.fromEntries(options);
}

function damaged(path: string, got: string): UserError {
  return new UserError(
    `pth: expected ${path} to be a whole file of torch.save, got ${got}; ` +
      'it is damaged or something else: copy, download or save it again',
  );
}
