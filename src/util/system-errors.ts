/** What a person can do about the errors of the operating system. */
import { codeOf, UserError } from './errors.js';

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
  EFBIG: 'files of this size are not taken there: raise the limit (ulimit -f), or choose another file system',
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

/** What to do about a code; undefined where nothing is known. */
export function remedyOf(code: string): string | undefined {
  return remedies[code];
}
