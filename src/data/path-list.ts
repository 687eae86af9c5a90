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

export const sharedBytes = (length: number) => new Uint8Array(new SharedArrayBuffer(length));
export const sharedOffsets = (length: number) => new Float64Array(new SharedArrayBuffer(length * 8));

/** Collects paths in any order. */
export class PathListBuilder {
  #bytes = Buffer.alloc(1 << 16);
  #offsets = new Float64Array(1 << 10); // entry i ends at [i + 1]
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(path: string): void {
    if (this.#length + 1 === this.#offsets.length) {
      const offsets = new Float64Array(this.#offsets.length * 2);
      offsets.set(this.#offsets);
      this.#offsets = offsets;
    }
    const start = this.#offsets[this.#length]!;
    this.#reserve(start + path.length * 3); // a UTF-16 unit takes at most 3 bytes of UTF-8
    this.#offsets[++this.#length] = start + this.#bytes.write(path, start);
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const bytes = Buffer.alloc(Math.max(length, this.#bytes.length * 2));
    this.#bytes.copy(bytes);
    this.#bytes = bytes;
  }

  /** The paths, sorted; the builder is empty afterwards. */
  finish(): PathList {
    const from = this.#bytes;
    const ends = this.#offsets;
    const order = new Uint32Array(this.#length).map((_, i) => i);
    const compare = (a: number, b: number) =>
      from.compare(from, ends[b]!, ends[b + 1]!, ends[a]!, ends[a + 1]!);
    order.sort(compare);
    const bytes = sharedBytes(ends[this.#length]!);
    const offsets = sharedOffsets(this.#length + 1);
    let end = 0;
    for (let i = 0; i < order.length; i++) {
      const path = from.subarray(ends[order[i]!], ends[order[i]! + 1]);
      bytes.set(path, end);
      end += path.length;
      offsets[i + 1] = end;
    }
    this.#bytes = Buffer.alloc(0);
    this.#offsets = new Float64Array(1 << 10);
    this.#length = 0;
    return { bytes, offsets };
  }
}

/** SHA-256, in hexadecimal, over every path and a zero byte, which no path holds. */
export function fingerprintOf({ bytes, offsets }: PathList): string {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(1 << 20);
  let used = 0;
  for (let i = 0; i + 1 < offsets.length; i++) {
    const path = bytes.subarray(offsets[i], offsets[i + 1]);
    if (used + path.length + 1 > chunk.length) {
      hash.update(chunk.subarray(0, used));
      used = 0;
    }
    if (path.length + 1 > chunk.length) {
      hash.update(path).update('\0');
      continue;
    }
    chunk.set(path, used);
    used += path.length;
    chunk[used++] = 0;
  }
  return hash.update(chunk.subarray(0, used)).digest('hex');
}
