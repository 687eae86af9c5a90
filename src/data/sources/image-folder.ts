import { resolve } from 'node:path';
import { UserError } from '../../util/errors.js';
import { readFolderCache, writeFolderCache } from './folder-cache.js';
import { describeUnreadable, pathBelow, scanFolder } from './folder-scan.js';
import { type ByteString, fingerprintOf, type PathList, textOf } from './path-list.js';
import type { FileBuffer, ImageSource, SharedFolder } from './source.js';
import { currentRule, describePassedOver, imageExtensions, type ListingRule } from './what-counts.js';

/** The images below a folder, in the order of the bytes of their relative paths. */
export class ImageFolder implements ImageSource {
  readonly root: string;
  readonly length: number;
  readonly #paths: PathList;
  readonly #bytes: Buffer;
  readonly #missing: Uint8Array<SharedArrayBuffer> | undefined;
  #fingerprint: string | undefined;
  #classes: Map<ByteString, number> | undefined;

  constructor({ root, paths, missing }: Omit<SharedFolder, 'kind'>) {
    this.root = root;
    this.#missing = missing;
    this.length = paths.offsets.length - 1;
    this.#paths = paths;
    this.#bytes = Buffer.from(paths.bytes.buffer);
  }

  share(): SharedFolder {
    return { kind: 'folder', root: this.root, paths: this.#paths, missing: this.#missing };
  }

  /** Relative to the root, '/' between its parts. */
  relativePath(i: number): string {
    return textOf(this.#pathOf(i));
  }

  #pathOf(i: number): ByteString {
    if (!(i >= 0 && i < this.length)) {
      throw new RangeError(`image folder: expected an index in [0, ${this.length}), got ${i}`);
    }
    return this.#bytes.toString('latin1', this.#paths.offsets[i], this.#paths.offsets[i + 1]);
  }

  /** Its path. */
  name(i: number): string {
    return `${pathBelow(this.root, this.#pathOf(i))}`;
  }

  isMissing(i: number): boolean {
    return this.#missing?.[i] === 1;
  }

  read(i: number, into: FileBuffer): Uint8Array {
    return into.readFile(pathBelow(this.root, this.#pathOf(i)));
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
    return [...this.#classPlaces().keys()].map(textOf);
  }

  /** Place of an image's sub-folder in `classNames`, or −1 for an image in the root itself. */
  labelOf(i: number): number {
    return this.#classPlaces().get(this.#className(i)) ?? -1;
  }

  #classPlaces(): Map<ByteString, number> {
    if (!this.#classes) {
      const names = new Set<ByteString>();
      for (let i = 0; i < this.length; i++) names.add(this.#className(i));
      names.delete('');
      this.#classes = new Map([...names].sort().map((name, place) => [name, place]));
    }
    return this.#classes;
  }

  #className(i: number): ByteString {
    const path = this.#pathOf(i);
    return path.slice(0, Math.max(0, path.indexOf('/')));
  }
}

export interface IndexOptions {
  /** Where the index is kept between runs. */
  cacheFile?: string;
  /** Reads the folders although an index is kept. */
  rescan?: boolean;
  rule?: ListingRule;
  /** Whether a folder without an image is one too. */
  mayBeEmpty?: boolean;
  /** Is told what was passed over, a line each. */
  note?: (line: string) => void;
}

/**
 * Indexes the images below `root`; see `what-counts.ts`. With `cacheFile` the index is read from there while no folder
 * has changed, and saved there otherwise, if it can be written. A missing or empty folder is a UserError.
 */
export async function indexImageFolder(
  root: string,
  { cacheFile, rescan = false, rule = currentRule, mayBeEmpty = false, note = () => {} }: IndexOptions = {},
): Promise<ImageFolder> {
  const absolute = resolve(root);
  const cached = cacheFile && !rescan ? await readFolderCache(cacheFile, absolute) : undefined;
  const scan = cached ?? (await scanFolder(absolute, rule));
  const passedOver = describePassedOver(scan.passedOver);
  const notes = [...describeUnreadable(scan.unreadable), ...(passedOver === undefined ? [] : [passedOver])];
  const folder = new ImageFolder({ root: absolute, paths: scan.paths });
  if (folder.length === 0 && !mayBeEmpty) {
    throw new UserError(
      `image folder: expected images below ${absolute}, got no file that ends in ${imageExtensions.join(', ')} ` +
        `(in any case)${notes.map((line) => `; ${line}`).join('')}; pass the folder that holds the pictures or their class folders`,
    );
  }
  for (const line of notes) note(`${root}: ${line}`);
  // without a cache the next start scans again, and nothing else is lost
  if (cacheFile && !cached) await writeFolderCache(cacheFile, absolute, scan).catch(() => {});
  return folder;
}
