/** Files that appear whole: written beside their place and renamed. */
import { randomUUID } from 'node:crypto';
import { readdirSync, realpathSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { codeOf, UserError } from './errors.js';
import { makeFolder } from './make-folder.js';
import { explained } from './system-errors.js';
import { withRemoval } from './with-removal.js';

/**
 * Replaces a file, in a folder that is made if need be, by what `write` puts at the path that it is given. Nothing is
 * left of what fails or is ended by a signal. A link is followed. A UserError, beginning with `where`, if it cannot be
 * written.
 */
export async function replaceFile(
  path: string,
  where: string,
  write: (temporary: string) => Promise<unknown>,
): Promise<void> {
  try {
    const place = placeOf(path);
    makeFolder(dirname(place));
    removeAbandoned(dirname(place));
    const temporary = join(dirname(place), `.mae-${process.pid}-${randomUUID().slice(0, 8)}.tmp`);
    await withRemoval(
      () => rmSync(temporary, { force: true }),
      async () => {
        await write(temporary);
        const handle = await open(temporary, 'r+');
        await handle.sync().finally(() => handle.close());
        await rename(temporary, place);
      },
    );
  } catch (error) {
    const cause = error instanceof UserError && error.cause !== undefined ? error.cause : error;
    throw explained(cause, where, `to write ${path}`);
  }
}

/** Where a link leads, or the path itself. */
function placeOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Removes what killed processes left. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^\.mae-(\d+)-[0-9a-f]{8}\.tmp$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) !== 'ESRCH';
  }
}
