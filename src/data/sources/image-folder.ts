import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { readFolderCache, writeFolderCache } from './folder-cache.js';
import { scanFolder } from './folder-scan.js';
import { fingerprintOf, type PathList } from './path-list.js';
import type { FileBuffer, ImageSource, SharedFolder } from './source.js';

/** The images below a folder, in the order of the bytes of their relative paths. */
export class ImageFolder implements ImageSource {
  readonly root: string;
  readonly length: number;
  readonly #paths: PathList;
  readonly #bytes: Buffer;
  #fingerprint: string | undefined;
  #classes: Map<string, number> | undefined;

  constructor({ root, paths }: Omit<SharedFolder, 'kind'>) {
    this.root = root;
    this.length = paths.offsets.length - 1;
    this.#paths = paths;
    this.#bytes = Buffer.from(paths.bytes.buffer);
  }

  share(): SharedFolder {
    return { kind: 'folder', root: this.root, paths: this.#paths };
  }

  /** Relative to the root, '/' between its parts. */
  relativePath(i: number): string {
    if (!(i >= 0 && i < this.length)) {
      throw new RangeError(`image folder: expected an index in [0, ${this.length}), got ${i}`);
    }
    return this.#bytes.toString('utf8', this.#paths.offsets[i], this.#paths.offsets[i + 1]);
  }

  /** Its path. */
  name(i: number): string {
    const relative = this.relativePath(i);
    const base = this.root.endsWith(sep) ? this.root : this.root + sep;
    return base + (sep === '/' ? relative : relative.replaceAll('/', sep));
  }

  read(i: number, into: FileBuffer): Uint8Array {
    const file = openSync(this.name(i), 'r');
    try {
      const { size } = fstatSync(file);
      const bytes = into.atLeast(size);
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

  /** Bytes that the index takes. */
  get byteLength(): number {
    return this.#paths.bytes.byteLength + this.#paths.offsets.byteLength;
  }

  /** SHA-256 of the sorted relative paths: another folder, or a changed one, has another. */
  get fingerprint(): string {
    this.#fingerprint ??= fingerprintOf(this.#paths);
    return this.#fingerprint;
  }

  /** Names of the sub-folders of the root that hold images, sorted; empty for a flat folder. */
  get classNames(): string[] {
    return [...this.#classPlaces().keys()];
  }

  /** Place of an image's sub-folder in `classNames`, or −1 for an image in the root itself. */
  labelOf(i: number): number {
    return this.#classPlaces().get(this.#className(i)) ?? -1;
  }

  #classPlaces(): Map<string, number> {
    if (!this.#classes) {
      const names = new Set<string>();
      for (let i = 0; i < this.length; i++) names.add(this.#className(i));
      names.delete('');
      const sorted = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      this.#classes = new Map(sorted.map((name, place) => [name, place]));
    }
    return this.#classes;
  }

  #className(i: number): string {
    const path = this.#bytes.subarray(this.#paths.offsets[i], this.#paths.offsets[i + 1]);
    const slash = path.indexOf(0x2f);
    return slash < 0 ? '' : path.toString('utf8', 0, slash);
  }
}

/**
 * Indexes every jpg, jpeg, png, webp, tif and tiff below `root`. With `cacheFile` the index is read from there
 * while no folder has changed, and saved there otherwise, if it can be written. A missing or empty folder is a UserError.
 */
export async function indexImageFolder(
  root: string,
  { cacheFile }: { cacheFile?: string } = {},
): Promise<ImageFolder> {
  const absolute = resolve(root);
  const cached = cacheFile ? await readFolderCache(cacheFile, absolute) : undefined;
  if (cached) return new ImageFolder({ root: absolute, paths: cached.paths });
  const scan = await scanFolder(absolute);
  // without a cache the next start scans again, and nothing else is lost
  if (cacheFile) await writeFolderCache(cacheFile, absolute, scan).catch(() => {});
  return new ImageFolder({ root: absolute, paths: scan.paths });
}
