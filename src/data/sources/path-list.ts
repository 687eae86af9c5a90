import { createHash } from 'node:crypto';

/**
 * Paths relative to a folder, '/' between their parts, in the order of their bytes. They lie end to end in one
 * array, path i from offsets[i] to offsets[i + 1]: 1.3 million JavaScript strings would take ten times as much.
 * Both arrays are shared memory, which workers read without a copy.
 */
export interface PathList {
  bytes: Uint8Array<SharedArrayBuffer>;
  offsets: Float64Array<SharedArrayBuffer>; // not Uint32: the bytes may pass 4 GiB
}

/**
 * Bytes as a string, each of them a character ('latin1'). Such strings compare as their bytes do and hold any name; a
 * Buffer for each of many names would take several times the memory.
 */
export type ByteString = string;

/** For people: what is not UTF-8 shows as replacement characters. */
export const textOf = (bytes: ByteString) => Buffer.from(bytes, 'latin1').toString();

export const sharedBytes = (length: number) => new Uint8Array(new SharedArrayBuffer(length));
export const sharedOffsets = (length: number) => new Float64Array(new SharedArrayBuffer(length * 8));

const chunkBytes = 2 ** 22;
const chunkPlacesLog2 = 16;
const chunkPlaces = 2 ** chunkPlacesLog2;

/**
 * Collects paths in any order. They lie in chunks, each after its length (u16): memory that has to move in order to
 * grow would be there twice.
 */
export class PathListBuilder {
  #chunks: Buffer[] = [];
  #used = chunkBytes;
  /** Where each path lies: chunk · chunkBytes + the place in it. */
  #places: Float64Array[] = [];
  #length = 0;
  #bytes = 0;

  get length(): number {
    return this.#length;
  }

  add(path: ByteString): void {
    if (this.#used + 2 + path.length > chunkBytes) {
      this.#chunks.push(Buffer.allocUnsafeSlow(chunkBytes));
      this.#used = 0;
    }
    const at = this.#length++ % chunkPlaces;
    if (at === 0) this.#places.push(new Float64Array(chunkPlaces));
    this.#places.at(-1)![at] = (this.#chunks.length - 1) * chunkBytes + this.#used;
    const chunk = this.#chunks.at(-1)!;
    const length = chunk.write(path, this.#used + 2, 'latin1');
    chunk.writeUInt16LE(length, this.#used);
    this.#used += 2 + length;
    this.#bytes += length;
  }

  /** The paths, sorted; the builder is empty afterwards. Those that came in order need no memory to be sorted in. */
  finish(): PathList {
    const chunks = this.#chunks;
    const places = this.#places;
    const placeOf = (i: number) => places[i >>> chunkPlacesLog2]![i & (chunkPlaces - 1)]!;
    const compare = (a: number, b: number) => {
      const placeA = placeOf(a);
      const placeB = placeOf(b);
      const a0 = Math.floor(placeA / chunkBytes);
      const b0 = Math.floor(placeB / chunkBytes);
      const chunkA = chunks[a0]!;
      const chunkB = chunks[b0]!;
      const startA = placeA - a0 * chunkBytes + 2;
      const startB = placeB - b0 * chunkBytes + 2;
      const endA = startA + lengthBefore(chunkA, startA);
      const endB = startB + lengthBefore(chunkB, startB);
      return chunkA.compare(chunkB, startB, endB, startA, endA);
    };
    let sorted = true;
    for (let i = 1; i < this.#length && sorted; i++) sorted = compare(i - 1, i) <= 0;
    const order = sorted ? undefined : new Uint32Array(this.#length);
    if (order) {
      for (let i = 0; i < order.length; i++) order[i] = i;
      order.sort(compare);
    }

    const bytes = sharedBytes(this.#bytes);
    const offsets = sharedOffsets(this.#length + 1);
    const into = Buffer.from(bytes.buffer);
    let end = 0;
    for (let i = 0; i < this.#length; i++) {
      const place = placeOf(order ? order[i]! : i);
      const number = Math.floor(place / chunkBytes);
      const start = place - number * chunkBytes + 2;
      end += chunks[number]!.copy(into, end, start, start + lengthBefore(chunks[number]!, start));
      offsets[i + 1] = end;
    }
    this.#chunks = [];
    this.#places = [];
    this.#used = chunkBytes;
    this.#length = 0;
    this.#bytes = 0;
    return { bytes, offsets };
  }
}

const lengthBefore = (chunk: Buffer, start: number) => chunk[start - 2]! | (chunk[start - 1]! << 8);

/** Every path with a zero byte, which no path holds, after it: parts of it in order, each read before the next is made. */
export function* terminatedPaths({ bytes, offsets }: PathList): Generator<Uint8Array> {
  const chunk = Buffer.alloc(1 << 20);
  let used = 0;
  for (let i = 0; i + 1 < offsets.length; i++) {
    const path = bytes.subarray(offsets[i], offsets[i + 1]);
    if (used + path.length + 1 > chunk.length) {
      yield chunk.subarray(0, used);
      used = 0;
    }
    chunk.set(path, used);
    used += path.length;
    chunk[used++] = 0;
  }
  yield chunk.subarray(0, used);
}

/** SHA-256, in hexadecimal, of the paths, each with a zero byte after it. */
export function fingerprintOf(paths: PathList): string {
  const hash = createHash('sha256');
  for (const part of terminatedPaths(paths)) hash.update(part);
  return hash.digest('hex');
}

/** Reads what `terminatedPaths` gives; undefined where its SHA-256 is another. */
export async function readTerminatedPaths(
  parts: AsyncIterable<Uint8Array>,
  { byteLength, count, fingerprint }: { byteLength: number; count: number; fingerprint: string },
): Promise<PathList | undefined> {
  if (byteLength < count) return undefined;
  const bytes = sharedBytes(byteLength - count);
  const offsets = sharedOffsets(count + 1);
  const hash = createHash('sha256');
  let end = 0;
  let paths = 0;
  for await (const part of parts) {
    hash.update(part);
    for (let from = 0; from < part.length; ) {
      const zero = part.indexOf(0, from);
      const to = zero < 0 ? part.length : zero;
      if (end + to - from > bytes.length) return undefined;
      bytes.set(part.subarray(from, to), end);
      end += to - from;
      from = to + 1;
      if (zero < 0) continue;
      if (paths === count) return undefined;
      offsets[++paths] = end;
    }
  }
  return paths === count && hash.digest('hex') === fingerprint ? { bytes, offsets } : undefined;
}
