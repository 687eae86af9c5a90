import type { BigIntStats, Dirent } from 'node:fs';
import { opendir, realpath, stat } from 'node:fs/promises';
import { sep } from 'node:path';
import { codeOf, messageOf, UserError } from '../../util/errors.js';
import { kindOf } from '../../util/regular-file.js';
import { type ByteString, type PathList, PathListBuilder, textOf } from './path-list.js';
import {
  countFile,
  currentRule,
  imageExtensions,
  type ListingRule,
  nothingPassedOver,
  type PassedOver,
} from './what-counts.js';

/** Names that are sorted together: strings take several times the memory of the list. */
const namesAtOnce = 2 ** 16;

/** A folder that was read, relative to the root (in '/'), and its state before that. */
export interface ScannedDirectory {
  path: ByteString;
  state: string;
}

/** Folders, and links that may be some, that could not be read, by the system's code. */
export type Unreadable = Map<string, { count: number; example: string }>;

/** These stay as they are while no folder changes. */
export const lasting: ReadonlySet<string> = new Set(['ELOOP', 'ENAMETOOLONG']);

export interface FolderScan {
  paths: PathList;
  directories: ScannedDirectory[];
  passedOver: PassedOver;
  unreadable: Unreadable;
  /** When the scan began. */
  scannedMs: number;
}

interface Pending {
  path: ByteString; // '' is the root
  realPath: ByteString;
  ancestors: Pending | undefined;
}

/** A path below the root as the system has it: bytes, and on Windows text. */
export function pathBelow(root: string, path: ByteString): Buffer | string {
  const base = root.endsWith(sep) || path === '' ? root : root + sep;
  if (sep === '\\') return base + textOf(path).replaceAll('/', sep);
  return Buffer.concat([Buffer.from(base), Buffer.from(path, 'latin1')]);
}

/**
 * What changes when a folder gains or loses an entry, or is another folder. The time of its entries alone does not tell:
 * archives and images of containers set it.
 */
export async function folderState(
  root: string,
  path: ByteString,
): Promise<{ state: string; changedMs: number }> {
  const { mtimeNs, ctimeNs, dev, ino }: BigIntStats = await stat(pathBelow(root, path), { bigint: true });
  return { state: [mtimeNs, ctimeNs, dev, ino].join(' '), changedMs: Number(ctimeNs / 1_000_000n) };
}

/**
 * Finds every image below `root` by its name, entry by entry. Links to files and folders are followed, but never to a
 * folder that is being walked, so loops end. Broken links with an image's name are listed: whoever reads them can then
 * say so. A folder below the root that cannot be read is counted and passed over.
 */
export async function scanFolder(root: string, rule: ListingRule = currentRule): Promise<FolderScan> {
  await checkIsFolder(root);
  const scanning = new Scanning(root, rule);
  const pending: Pending[] = [];
  try {
    pending.push({ path: '', realPath: await realBytes(pathBelow(root, '')), ancestors: undefined });
  } catch (error) {
    scanning.passOver('', error);
  }
  for (let directory = pending.pop(); directory; directory = pending.pop()) {
    try {
      pending.push(...(await scanning.read(directory)));
    } catch (error) {
      scanning.passOver(directory.path, error);
    }
  }
  return scanning.finish();
}

async function checkIsFolder(root: string): Promise<void> {
  const stats = await stat(root).catch((error) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw new UserError(`image folder: cannot read ${root}: ${messageOf(error)}`);
  });
  if (stats?.isDirectory()) return;
  throw new UserError(
    `image folder: expected a folder with ${imageExtensions.join(', ')} files, got ${stats ? kindOf(stats) : 'nothing'} at ${root}; check the path`,
  );
}

/** Not the fault of a folder: another attempt may read it, and a run without it would be another. */
const ownFaults = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

class Scanning {
  readonly #root: string;
  readonly #rule: ListingRule;
  readonly #builder = new PathListBuilder();
  readonly #directories: ScannedDirectory[] = [];
  readonly #passedOver = nothingPassedOver();
  readonly #unreadable: Unreadable = new Map();
  readonly #scannedMs = Date.now();

  constructor(root: string, rule: ListingRule) {
    this.#root = root;
    this.#rule = rule;
  }

  /** Lists the images of a folder; returns its folders, the first of them last. */
  async read(directory: Pending): Promise<Pending[]> {
    const { state } = await folderState(this.#root, directory.path);
    this.#directories.push({ path: directory.path, state });
    const prefix = directory.path === '' ? '' : `${directory.path}/`;
    // Images in order, and folders in order after them: with no image beside a folder all paths come sorted.
    let names: ByteString[] = [];
    const folders: Pending[] = [];
    const addSorted = () => {
      for (const name of names.sort()) this.#builder.add(prefix + this.#rule.listed(name));
      names = [];
    };
    const path = pathBelow(this.#root, directory.path);
    // strings are what the types say
    const options = { encoding: 'buffer' as BufferEncoding, bufferSize: 256 };
    for await (const entry of (await opendir(path, options)) as AsyncIterable<unknown> as AsyncIterable<
      Dirent<Buffer>
    >) {
      const name = entry.name.toString('latin1');
      const kind = await this.#kindOf(entry, prefix + name);
      if (kind === 'folder') {
        const folder = await this.#folderOf(entry, prefix + name, directory);
        if (folder !== undefined) folders.push(folder);
      } else if (kind === 'file' && this.#counts(name)) {
        names.push(name);
        if (names.length === namesAtOnce) addSorted();
      } else if (kind === 'other' && !this.#rule.isLeftOut(name)) this.#passedOver.special++;
    }
    addSorted();
    // 'a.b/' comes before 'a/'.
    return folders.sort((a, b) => (`${a.path}/` < `${b.path}/` ? 1 : -1));
  }

  #counts(name: ByteString): boolean {
    const isImage = this.#rule.isImage(name);
    if (this.#rule.isLeftOut(name)) {
      if (isImage) this.#passedOver.hiddenImages++;
      return false;
    }
    if (!isImage) countFile(this.#passedOver, name);
    return isImage;
  }

  /** The folder to be walked, if it is one. */
  async #folderOf(entry: Dirent<Buffer>, path: ByteString, directory: Pending): Promise<Pending | undefined> {
    const name = entry.name.toString('latin1');
    if (this.#rule.isLeftOut(name)) {
      this.#passedOver.hiddenFolders++;
      return undefined;
    }
    try {
      const realPath = entry.isSymbolicLink()
        ? await realBytes(pathBelow(this.#root, path))
        : `${directory.realPath}${directory.realPath.endsWith(sep) ? '' : sep}${name}`;
      return isBeingWalked(realPath, directory) ? undefined : { path, realPath, ancestors: directory };
    } catch (error) {
      this.passOver(path, error);
      return undefined;
    }
  }

  /** What an entry is after following links, if they can be; a broken link counts as the file it should be. */
  async #kindOf(entry: Dirent<Buffer>, path: ByteString): Promise<'file' | 'folder' | 'other' | undefined> {
    if (entry.isFile()) return 'file';
    if (entry.isDirectory()) return 'folder';
    if (!entry.isSymbolicLink()) return 'other';
    try {
      const target = await stat(pathBelow(this.#root, path));
      if (target.isDirectory()) return 'folder';
      return target.isFile() ? 'file' : 'other';
    } catch (error) {
      // a folder, for all we know
      if (codeOf(error) !== 'ENOENT' && !this.#rule.isImage(path)) {
        this.passOver(path, error);
        return undefined;
      }
      return 'file';
    }
  }

  passOver(path: ByteString, error: unknown): void {
    const code = codeOf(error);
    if (code === undefined || !/^E[A-Z0-9]+$/.test(code)) throw error;
    if (path === '' || ownFaults.has(code)) {
      const name = `${pathBelow(this.#root, path)}`;
      throw new UserError(
        `image folder: expected to read ${name}, got ${code} (${messageOf(error)}); ` +
          (ownFaults.has(code)
            ? 'close other programs, or raise the limits of this one (ulimit)'
            : 'make it readable'),
      );
    }
    const { count, example } = this.#unreadable.get(code) ?? { count: 0, example: textOf(path) };
    this.#unreadable.set(code, { count: count + 1, example });
  }

  finish(): FolderScan {
    return {
      paths: this.#builder.finish(),
      directories: this.#directories,
      passedOver: this.#passedOver,
      unreadable: this.#unreadable,
      scannedMs: this.#scannedMs,
    };
  }
}

const realBytes = async (path: Buffer | string): Promise<ByteString> =>
  (await realpath(path, { encoding: 'buffer' })).toString('latin1');

function isBeingWalked(realPath: ByteString, directory: Pending): boolean {
  for (let walked: Pending | undefined = directory; walked; walked = walked.ancestors) {
    if (walked.realPath === realPath) return true;
  }
  return false;
}

/** Why a folder could not be read. */
const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user may not read them',
  EPERM: 'this user may not read them',
  ENAMETOOLONG: 'their paths are too long for the system',
  ENOENT: 'they were gone before they could be read',
  ELOOP: 'too many symbolic links, or a circle of them, lead there',
  EIO: 'the disk reports a fault',
};

/** A line for each kind of entry that could not be read. */
export function describeUnreadable(unreadable: Unreadable): string[] {
  return [...unreadable].map(([code, { count, example }]) => {
    const reason = reasons[code];
    const because = reason === undefined ? code : `${reason} (${code})`;
    return `${count === 1 ? '1 entry is' : `${count} entries are`} passed over, such as ${example}: ${because}`;
  });
}
