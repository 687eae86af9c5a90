/** Files that survive a kill and a power cut: written beside, fsynced, renamed, and the folder fsynced. */
import { randomUUID } from 'node:crypto';
import { open, readdir, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, UserError } from '../../util/errors.js';

const remedies: Record<string, string> = {
  ENOENT: 'check the spelling of the path, and that nothing removed it meanwhile',
  EACCES: 'give this user the right to it, or choose another folder',
  EPERM: 'give this user the right to it, or choose another folder',
  EROFS: 'the file system is mounted read-only: choose another folder',
  ENOTDIR: 'a part of this path is a file: remove it, or choose another folder',
  EISDIR: 'this is a folder: give the path of a file',
  EEXIST: 'move what is already there, or choose another path',
  ENAMETOOLONG: 'choose a shorter path',
  ELOOP: 'its symbolic links lead in a circle: repair them',
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENFILE: 'close other programs: the machine has no open files left',
  ENOSPC: 'free some space on that disk',
  EDQUOT: 'free some of your quota on that disk',
  EFBIG: 'the file system does not take files of this size: choose another folder',
  EIO: 'the disk reports a fault: check it (dmesg), or choose another one',
};

/** Codes that mean that a disk would not take the data. */
const diskCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EIO']);

/** The code of the operating system (`ENOSPC`, …) in an error or in its cause; Node's own `ERR_…` do not count. */
function systemCodeOf(error: unknown): string | undefined {
  const code = codeOf(error) ?? (error instanceof Error ? codeOf(error.cause) : undefined);
  return code !== undefined && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

/** The code if the disk was full or failing when this was thrown, or undefined. */
export function diskCodeOf(error: unknown): string | undefined {
  const code = systemCodeOf(error);
  return code !== undefined && diskCodes.has(code) ? code : undefined;
}

/** A system error as a UserError that keeps it as its cause; every other error as it is. */
export function explained(error: unknown, where: string, expected: string): unknown {
  const code = systemCodeOf(error);
  if (code === undefined || error instanceof UserError) return error;
  const remedy = remedies[code] ?? 'check the path and the disk';
  return new UserError(`${where}: expected ${expected}, got ${code}; ${remedy}`, { cause: error });
}

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

/** Replaces a text file: at every instant the path holds all of the old text or all of the new one. */
export async function writeTextAtomically(
  path: string,
  text: string | AsyncIterable<string | Uint8Array>,
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
