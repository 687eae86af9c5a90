/** The header of a safetensors file: the JSON between its 8-byte length and its data. No file is touched here. */
import { messageOf, UserError } from '../../util/errors.js';
import { repeatedKey } from '../../util/json-file.js';
import { byteLength, type Dtype, dtypeBytes } from './dtypes.js';

export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Where its bytes start, counted from the end of the header. */
  readonly offset: number;
  readonly bytes: number;
}

export interface Header {
  /** Tensors in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What is wrong with a file that is not, or no longer, in this format. */
export function damaged(path: string, got: string): UserError {
  return new UserError(
    `safetensors: expected ${path} to be a whole safetensors file, got ${got}; ` +
      'it is damaged or something else: copy, download or save it again',
  );
}

/** The 8-byte length and the JSON, padded with spaces so that the data starts at a multiple of 8. */
export function encodeHeader(tensors: Iterable<TensorEntry>, metadata: Record<string, string>): Uint8Array {
  // Joined by hand: an object would put names that look like numbers first.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  for (const { name, dtype, shape, offset, bytes } of tensors) {
    const entry = { dtype, shape, data_offsets: [offset, offset + bytes] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const json = Buffer.from(`{${fields.join(',')}}`);
  const header = Buffer.alloc(8 + Math.ceil(json.length / 8) * 8, ' ');
  header.writeBigUInt64LE(BigInt(header.length - 8));
  json.copy(header, 8);
  return header;
}

/** Reads and checks the JSON of a header; `dataBytes` is what the file holds behind it. */
export function decodeHeader(json: Uint8Array, dataBytes: number, path: string): Header {
  const bad = (got: string) => damaged(path, got);
  if (json[0] !== 0x7b) throw bad(`a header that does not start with '{'`);
  let fields: unknown;
  let repeated: string | undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(json);
    fields = JSON.parse(text);
    repeated = repeatedKey(text);
  } catch (error) {
    throw bad(`a header that is not JSON (${messageOf(error).slice(0, 100)})`);
  }
  if (repeated !== undefined) throw bad(`${quote(repeated)} twice in its header`);
  if (!isObject(fields)) throw bad('a header that is not an object');

  const metadata = Object.hasOwn(fields, '__metadata__') ? fields['__metadata__'] : {};
  if (!isObject(metadata) || Object.values(metadata).some((value) => typeof value !== 'string')) {
    throw bad('a __metadata__ that is not an object of strings');
  }

  const entries: TensorEntry[] = [];
  for (const [name, field] of Object.entries(fields)) {
    if (name === '__metadata__') continue;
    const problem = (what: string) => bad(`${what} for tensor ${quote(name)}`);
    if (!isObject(field)) throw problem('no object');
    const { dtype, shape, data_offsets: offsets } = field;
    if (!isDtype(dtype)) throw problem(`the unknown dtype ${quote(dtype)}`);
    if (!isCounts(shape)) throw problem(`the shape ${quote(shape)}`);
    if (!isCounts(offsets) || offsets.length !== 2) throw problem(`the data_offsets ${quote(offsets)}`);
    const [begin, end] = offsets as [number, number];
    const bytes = byteLength(dtype, shape);
    if (bytes === undefined) throw problem(`the impossible shape ${quote(shape)}`);
    if (end > dataBytes) throw problem(`data up to byte ${end} of only ${dataBytes}`);
    if (end - begin !== bytes) {
      throw problem(`${end - begin} bytes where ${dtype} ${quote(shape)} has ${bytes}`);
    }
    entries.push({ name, dtype, shape, offset: begin, bytes });
  }

  entries.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let covered = 0;
  for (const { name, offset, bytes } of entries) {
    if (offset !== covered) {
      throw bad(`${offset < covered ? 'an overlap' : 'a hole'} in its data before tensor ${quote(name)}`);
    }
    covered += bytes;
  }
  if (covered !== dataBytes) throw bad(`${dataBytes - covered} bytes behind its last tensor`);
  return {
    tensors: new Map(entries.map((entry) => [entry.name, entry])),
    metadata: metadata as Record<string, string>,
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(dtypeBytes, value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A value of a foreign file, short enough for a message. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
