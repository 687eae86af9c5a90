/** Regions of large files, read into memory of exactly their size. */
import { type FileHandle, open } from 'node:fs/promises';
import { UserError } from '../../util/errors.js';
import { checkRegularFile } from '../../util/regular-file.js';

// One read or write call takes less than 2^31 bytes; smaller pieces keep the thread pool free for others.
export const maxCallBytes = 2 ** 28;

/** Opens a file that is one: to open a pipe would wait for its writer. `where` begins the error. */
export async function openRegularFile(path: string, where: string): Promise<FileHandle> {
  checkRegularFile(path, where);
  return open(path, 'r');
}

/** Fills `into` from `position` on; a UserError where the file ends before. */
export async function readRegion(
  handle: FileHandle,
  into: Uint8Array,
  position: number,
  where: string,
  path: string,
): Promise<void> {
  for (let done = 0; done < into.byteLength; ) {
    const length = Math.min(into.byteLength - done, maxCallBytes);
    const { bytesRead } = await handle.read(into, done, length, position + done);
    if (bytesRead === 0) {
      throw new UserError(
        `${where}: expected ${into.byteLength} bytes at ${position} of ${path}, got ${done}; ` +
          'the file became shorter while it was read: run again when nothing writes to it',
      );
    }
    done += bytesRead;
  }
}
