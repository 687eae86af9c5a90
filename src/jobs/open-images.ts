import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type ImageFolder, type IndexOptions, indexImageFolder } from '../data/sources/image-folder.js';

/** The index of a folder of images, kept in the user's cache between runs. */
export function openImageFolder(
  path: string,
  options: Pick<IndexOptions, 'rescan' | 'note' | 'mayBeEmpty'> = {},
): Promise<ImageFolder> {
  const name = createHash('sha256').update(resolve(path)).digest('hex').slice(0, 16);
  return indexImageFolder(path, { ...options, cacheFile: join(cacheFolder(), `index-${name}.bin`) });
}

/** Where each system wants caches; XDG_CACHE_HOME wins. */
function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'mae');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'mae');
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'mae', 'cache');
  return join(homedir(), '.cache', 'mae');
}
