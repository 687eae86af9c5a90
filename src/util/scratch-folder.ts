import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf, messageOf, UserError } from './errors.js';
import { withRemoval } from './with-removal.js';

/**
 * Runs something with a new folder for temporary files, which goes with it: also when a signal ends the process.
 *
 * @param parent where it is made
 */
export async function withScratchFolder<T>(
  use: (folder: string) => Promise<T>,
  parent = tmpdir(),
): Promise<T> {
  let folder: string;
  try {
    folder = mkdtempSync(join(parent, 'mae-'));
  } catch (error) {
    const reason = codeOf(error) ?? messageOf(error);
    throw new UserError(
      `temporary files: cannot write to ${parent} (${reason}); set TMPDIR to a folder with space`,
    );
  }
  return withRemoval(
    () => removeBusy(folder),
    () => use(folder),
  );
}

/** Removes a folder into which threads of this process may still write. */
function removeBusy(folder: string): void {
  const renamed = `${folder}-removed`; // where no next file comes
  try {
    renameSync(folder, renamed);
  } catch {
    // gone, or files are open in it (Windows)
  }
  for (const path of [renamed, folder]) rmSync(path, { recursive: true, force: true });
}
