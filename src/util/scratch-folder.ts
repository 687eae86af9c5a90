import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf, messageOf, UserError } from './errors.js';

/** Runs something with a new folder for temporary files, which goes with it: also when a signal ends the process. */
export async function withScratchFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const parent = tmpdir();
  let folder: string;
  try {
    folder = mkdtempSync(join(parent, 'mae-'));
  } catch (error) {
    const reason = codeOf(error) ?? messageOf(error);
    throw new UserError(
      `temporary files: cannot write to ${parent} (${reason}); set TMPDIR to a folder with space`,
    );
  }
  const remove = () => removeBusy(folder);
  // 128 + the signal's number, as shells say it
  const interrupt = () => process.exit(130);
  const terminate = () => process.exit(143);
  const hangUp = () => process.exit(129);
  const isHeld = process.listenerCount('SIGHUP') > 0; // ignored, or a run's own
  process.on('exit', remove).on('SIGINT', interrupt).on('SIGTERM', terminate);
  if (!isHeld) process.on('SIGHUP', hangUp);
  try {
    return await use(folder);
  } finally {
    process.off('exit', remove).off('SIGINT', interrupt).off('SIGTERM', terminate).off('SIGHUP', hangUp);
    remove();
  }
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
