import { createReadStream, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { codeOf } from '../../util/errors.js';
import { pathBelow } from './folder-scan.js';
import { ImageFolder } from './image-folder.js';
import { type PathList, readTerminatedPaths } from './path-list.js';

/** How many images a list has, and its SHA-256. */
export interface ListIdentity {
  readonly images: number;
  readonly fingerprint: string;
}

/** The list of images in a file, each ended by a zero byte; 'damaged' where it is another, undefined where there is none. */
export async function readImageList(
  file: string,
  { images, fingerprint }: ListIdentity,
): Promise<PathList | 'damaged' | undefined> {
  try {
    const { size } = await stat(file);
    const parts = createReadStream(file, { highWaterMark: 1 << 20 });
    const list = await readTerminatedPaths(parts, { byteLength: size, count: images, fingerprint });
    return list ?? 'damaged';
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    if (codeOf(error) === undefined) throw error;
    return 'damaged';
  }
}

export interface ListedFolder {
  /** The images of the list, in its order, whether they are there or not. */
  readonly folder: ImageFolder;
  readonly missing: Some;
  /** Images that are there and not in the list. */
  readonly added: Some;
}

interface Some {
  readonly count: number;
  /** The first of them, below the root. */
  readonly example: string;
}

/**
 * A folder with the images of a list, beside what a scan found there. What the scan did not list is looked for by name:
 * its rule may be another than the list's.
 */
export function folderOfList(found: ImageFolder, paths: PathList): ListedFolder {
  const { root } = found;
  const scanned = found.share().paths;
  const missing = new Uint8Array(new SharedArrayBuffer(paths.offsets.length - 1));
  const [lost, added] = [new Counter(), new Counter()];
  const [listed, there] = [new Cursor(paths), new Cursor(scanned)];
  while (!listed.isAtEnd || !there.isAtEnd) {
    const order = compare(listed, there);
    if (order < 0 && !isThere(root, listed.path)) {
      missing[listed.index] = 1;
      lost.count(listed.path);
    }
    if (order > 0) added.count(there.path);
    if (order <= 0) listed.next();
    if (order >= 0) there.next();
  }
  const folder = new ImageFolder({ root, paths, missing: lost.total > 0 ? missing : undefined });
  return { folder, missing: lost.result, added: added.result };
}

/** Goes through a list path by path. */
class Cursor {
  index = 0;
  readonly #list: PathList;
  readonly #bytes: Buffer;

  constructor(list: PathList) {
    this.#list = list;
    this.#bytes = Buffer.from(list.bytes.buffer);
  }

  get isAtEnd(): boolean {
    return this.index === this.#list.offsets.length - 1;
  }

  get path(): Buffer {
    return this.#bytes.subarray(this.#list.offsets[this.index], this.#list.offsets[this.index + 1]);
  }

  next(): void {
    this.index++;
  }
}

/** As the bytes of the paths compare; the end of a list comes after every path. */
function compare(a: Cursor, b: Cursor): number {
  if (a.isAtEnd || b.isAtEnd) return Number(a.isAtEnd) - Number(b.isAtEnd);
  return Buffer.compare(a.path, b.path);
}

class Counter {
  total = 0;
  #example = '';

  count(path: Buffer): void {
    if (this.total++ === 0) this.#example = path.toString();
  }

  get result(): Some {
    return { count: this.total, example: this.#example };
  }
}

function isThere(root: string, path: Buffer): boolean {
  try {
    return statSync(pathBelow(root, path.toString('latin1')), { throwIfNoEntry: false })?.isFile() ?? false;
  } catch {
    return false;
  }
}
