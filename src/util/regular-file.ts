import { type BigIntStats, type Stats, statSync } from 'node:fs';
import { UserError } from './errors.js';
import { explained } from './system-errors.js';

/** What something is that is no regular file. */
export function kindOf(found: Stats | BigIntStats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a pipe';
  if (found.isSocket()) return 'a socket';
  return found.isFile() ? 'a file' : 'a device';
}

/** A UserError, beginning with `where`, unless there is a file at a path: to open a pipe would wait for its writer. */
export function checkRegularFile(path: string, where: string): void {
  let found: Stats;
  try {
    found = statSync(path);
  } catch (error) {
    throw explained(error, where, `a file at ${path}`);
  }
  if (!found.isFile()) {
    throw new UserError(`${where}: expected ${path} to be a file, got ${kindOf(found)}; give a file`);
  }
}
