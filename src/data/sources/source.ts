import { closeSync, fstatSync, openSync, type PathLike, readSync } from 'node:fs';
import type { PathList } from './path-list.js';

/**
 * Images in a fixed order, each by its place in it. Order, skipping and resume are functions of places alone, so a
 * source has to give the same image for a place as long as its fingerprint is the same.
 */
export interface ImageSource {
  readonly length: number;
  /** Names the source in errors. */
  readonly root: string;
  /** Another for other images, or for the same in another order. */
  readonly fingerprint: string;
  /** Names an image, for people. */
  name(i: number): string;
  /** Whether an image was known not to be there when the source was opened: it is skipped without a try. */
  isMissing(i: number): boolean;
  /** The bytes of an image's file, in the buffer: the next read overwrites them. A system error where it cannot be read. */
  read(i: number, into: FileBuffer): Uint8Array;
  /** The place of an image's class in `classNames`, or −1 where it has none. */
  labelOf(i: number): number;
  readonly classNames: readonly string[];
  /** What a worker opens the same source by; see `open-source.ts`. */
  share(): SharedSource;
}

/** A description of a source, which goes to workers: shared memory, nothing is copied. */
export type SharedSource = SharedFolder | SharedFiles | SharedLabels;

export interface SharedFolder {
  readonly kind: 'folder';
  readonly root: string;
  readonly paths: PathList;
  /** 1 for each image that was not there when the folder was opened. */
  readonly missing?: Uint8Array<SharedArrayBuffer> | undefined;
}

export interface SharedFiles {
  readonly kind: 'files';
  readonly paths: readonly string[];
}

export interface SharedLabels {
  readonly kind: 'labels';
  readonly source: SharedSource;
  /** The place of each image's class, or −1. */
  readonly labels: Int32Array<SharedArrayBuffer>;
  readonly classNames: readonly string[];
}

/** Memory for one file after the other; it grows to the largest of them. */
export class FileBuffer {
  #bytes = Buffer.allocUnsafe(1 << 20);

  /** Room for as many bytes. */
  atLeast(length: number): Buffer {
    if (this.#bytes.length < length) this.#bytes = Buffer.allocUnsafe(length);
    return this.#bytes;
  }

  /** The bytes of a file, which the next one overwrites. */
  readFile(path: PathLike): Uint8Array {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      const bytes = this.atLeast(size);
      let length = 0;
      while (length < size) {
        const read = readSync(file, bytes, length, size - length, length);
        if (read === 0) break;
        length += read;
      }
      return bytes.subarray(0, length);
    } finally {
      closeSync(file);
    }
  }
}
