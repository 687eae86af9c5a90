import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where each system wants caches; XDG_CACHE_HOME wins. */
export function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'mae');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'mae');
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'mae', 'cache');
  return join(homedir(), '.cache', 'mae');
}
