/** Files that survive a kill and a power cut: written beside, fsynced, renamed, and the folder fsynced. */
import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';

/** Makes the names in a folder (new, renamed or removed) durable. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows opens no folders; its file systems journal names by themselves.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } catch (error) {
    // Some network and FUSE file systems have no fsync of folders.
    if (!['EINVAL', 'ENOTSUP', 'EOPNOTSUPP'].includes(codeOf(error) ?? '')) throw error;
  } finally {
    await handle.close();
  }
}

/** Makes every file directly inside a folder durable, then the folder. */
export async function syncFilesOf(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const handle = await open(join(folder, entry.name), 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await syncFolder(folder);
}

/** Replaces a file: at every instant the path holds all of the old text or all of the new one. */
export async function writeTextAtomically(
  path: string,
  text: string | Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const beside = join(dirname(path), `.tmp-${randomUUID()}`);
  try {
    const handle = await open(beside, 'wx');
    try {
      await writeFile(handle, text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(beside, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {});
    throw explained(error, 'write', `to write ${path}`);
  }
}

/** Replaces a file by a value as JSON, indented by two, with a newline at its end. */
export async function writeJsonAtomically(path: string, value: unknown): Promise<void> {
  await writeTextAtomically(path, `${JSON.stringify(value, null, 2)}\n`);
}

/** Bytes of the files directly inside a folder; 0 if there is none. */
export async function folderBytes(folder: string): Promise<number> {
  const names = await readdir(folder).catch(() => []);
  const sizes = await Promise.all(names.map((name) => stat(join(folder, name)).catch(() => ({ size: 0 }))));
  return sizes.reduce((sum, { size }) => sum + size, 0);
}

/** Bytes that this user may still write on the disk of a folder, or undefined where that is unknown. */
export async function freeBytes(folder: string): Promise<number | undefined> {
  return statfs(folder).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => undefined,
  );
}

/** 1536 → `1.5 KiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
  return `${unit === 0 ? bytes : bytes.toFixed(1)} ${units[unit]}`;
}

/** Whether a path leads to a regular file. */
export function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** Whether anything is at a path. */
export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
