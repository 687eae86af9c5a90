/** Files that appear whole: written beside their place and renamed. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
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
  await named(path, where, async () => {
    const place = placeOf(path);
    await withTemporary(dirname(place), async (folder) => {
      const temporary = join(folder, basename(place));
      await write(temporary);
      await putInPlace(temporary, place);
    });
  });
}

/**
 * Replaces files of a folder together, as `replaceFile` does one: `write` makes them in the folder that it is given, checks
 * them, and returns their names in the order in which they are to appear. Names may have folders.
 */
export async function replaceFiles(
  folder: string,
  where: string,
  write: (temporary: string) => Promise<readonly string[]>,
): Promise<void> {
  await named(folder, where, () =>
    withTemporary(folder, async (temporary) => {
      for (const name of await write(temporary)) {
        makeFolder(dirname(join(folder, name)));
        await putInPlace(join(temporary, name), placeOf(join(folder, name)));
      }
    }),
  );
}

/** What fails with the path that a person gave. */
async function named(path: string, where: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    const cause = error instanceof UserError && error.cause !== undefined ? error.cause : error;
    throw explained(cause, where, `to write ${path}`);
  }
}

/**
 * A folder in a folder, which is made if need be, that goes again. A file alone could be opened once more by a write
 * under way while the process ends, after it was removed; in a folder that is gone it can't.
 */
async function withTemporary(folder: string, use: (temporary: string) => Promise<void>): Promise<void> {
  makeFolder(folder);
  removeAbandoned(folder);
  const temporary = join(folder, `.mae-${process.pid}-${randomUUID().slice(0, 8)}.tmp`);
  await withRemoval(
    () => rmSync(temporary, { recursive: true, force: true, maxRetries: 3 }),
    () => {
      mkdirSync(temporary);
      return use(temporary);
    },
  );
}

async function putInPlace(temporary: string, place: string): Promise<void> {
  const handle = await open(temporary, 'r+');
  await handle.sync().finally(() => handle.close());
  await rename(temporary, place);
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
    if (pid !== undefined && !isAlive(Number(pid)))
      rmSync(join(folder, name), { recursive: true, force: true });
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
