import type { Dirent } from 'node:fs';
import { opendir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, messageOf, UserError } from '../../util/errors.js';
import { type PathList, PathListBuilder } from './path-list.js';

export const imageExtensions = ['jpg', 'jpeg', 'png', 'webp', 'tif', 'tiff'];
const isImageName = (name: string) =>
  imageExtensions.some((extension) => name.toLowerCase().endsWith(`.${extension}`));

/** Names that are sorted together: strings take several times the memory of the list. */
const namesAtOnce = 2 ** 16;

/** A folder that was read, relative to the root (in '/'), and when it had last changed before that. */
export interface ScannedDirectory {
  path: string;
  modifiedNs: bigint;
}

export interface FolderScan {
  paths: PathList;
  directories: ScannedDirectory[];
}

interface Pending {
  path: string; // '' is the root
  realPath: string;
  ancestors: Pending | undefined;
}

/** When a folder last gained or lost an entry, in nanoseconds. */
export async function modifiedNs(root: string, path: string): Promise<bigint> {
  return (await stat(join(root, path), { bigint: true })).mtimeNs;
}

/**
 * Finds every image below `root` by its extension, entry by entry. Links to files and folders are followed, but
 * never to a folder that is being walked, so loops end. Broken links with an image's name are listed: whoever
 * reads them can then say so.
 */
export async function scanFolder(root: string): Promise<FolderScan> {
  await checkIsFolder(root);
  const builder = new PathListBuilder();
  const directories: ScannedDirectory[] = [];
  const pending: Pending[] = [{ path: '', realPath: await realpath(root), ancestors: undefined }];
  for (let directory = pending.pop(); directory; directory = pending.pop()) {
    try {
      directories.push({ path: directory.path, modifiedNs: await modifiedNs(root, directory.path) });
      await scanDirectory(root, directory, builder, pending);
    } catch (error) {
      if (!codeOf(error)) throw error;
      throw new UserError(
        `image folder: cannot read ${join(root, directory.path)}: ${messageOf(error)}; make it readable or move it out of ${root}`,
      );
    }
  }
  if (builder.length === 0) {
    throw new UserError(
      `image folder: expected images below ${root}, got no file that ends in ${imageExtensions.join(', ')} (in any case); pass the folder that holds the pictures or their class folders`,
    );
  }
  return { paths: builder.finish(), directories };
}

async function checkIsFolder(root: string): Promise<void> {
  const stats = await stat(root).catch((error) => {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw new UserError(`image folder: cannot read ${root}: ${messageOf(error)}`);
  });
  if (stats?.isDirectory()) return;
  throw new UserError(
    `image folder: expected a folder with ${imageExtensions.join(', ')} files, got ${stats ? 'a file' : 'nothing'} at ${root}; check the path`,
  );
}

async function scanDirectory(
  root: string,
  directory: Pending,
  builder: PathListBuilder,
  pending: Pending[],
): Promise<void> {
  const prefix = directory.path === '' ? '' : `${directory.path}/`;
  // Images in order, and folders in order after them: with no image beside a folder all paths come sorted.
  let names: string[] = [];
  const folders: Pending[] = [];
  const addSorted = () => {
    for (const name of names.sort()) builder.add(prefix + name);
    names = [];
  };
  for await (const entry of await opendir(join(root, directory.path), { bufferSize: 256 })) {
    const path = prefix + entry.name;
    const kind = await kindOf(entry, root, path);
    if (kind === 'file' && isImageName(entry.name)) {
      names.push(entry.name);
      if (names.length === namesAtOnce) addSorted();
    }
    if (kind !== 'folder') continue;
    const realPath = entry.isSymbolicLink()
      ? await realpath(join(root, path))
      : join(directory.realPath, entry.name);
    if (!isBeingWalked(realPath, directory)) folders.push({ path, realPath, ancestors: directory });
  }
  addSorted();
  // The last one is taken first. 'a.b/' comes before 'a/'.
  folders.sort((a, b) => (`${a.path}/` < `${b.path}/` ? 1 : -1));
  pending.push(...folders);
}

/** What an entry is after following links; a broken link counts as the file it should be. */
async function kindOf(entry: Dirent, root: string, path: string): Promise<'file' | 'folder' | 'other'> {
  if (entry.isFile()) return 'file';
  if (entry.isDirectory()) return 'folder';
  if (!entry.isSymbolicLink()) return 'other';
  const target = await stat(join(root, path)).catch(() => undefined);
  if (target?.isDirectory()) return 'folder';
  return !target || target.isFile() ? 'file' : 'other';
}

function isBeingWalked(realPath: string, directory: Pending): boolean {
  for (let walked: Pending | undefined = directory; walked; walked = walked.ancestors) {
    if (walked.realPath === realPath) return true;
  }
  return false;
}
