import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import { ImageDecoder } from '../data/decode/decode.js';
import { isUnreadable } from '../data/decode/pixels.js';
import { type ImageFolder, type IndexOptions, indexImageFolder } from '../data/sources/image-folder.js';
import { FileBuffer, type ImageSource } from '../data/sources/source.js';
import { cacheFolder } from '../util/cache-folder.js';
import { messageOf } from '../util/errors.js';

/** The index of a folder of images, kept in the user's cache between runs. */
export function openImageFolder(
  path: string,
  options: Pick<IndexOptions, 'rescan' | 'note' | 'mayBeEmpty'> = {},
): Promise<ImageFolder> {
  const name = createHash('sha256').update(resolve(path)).digest('hex').slice(0, 16);
  return indexImageFolder(path, { ...options, cacheFile: join(cacheFolder(), `index-${name}.bin`) });
}

/** Images that are looked at before a run. */
const checkedImages = 16;

/** Why no image of a source seems to be readable, by a few of them from its whole length; undefined where one is. */
export async function unreadable(source: ImageSource): Promise<string | undefined> {
  const decoder = new ImageDecoder();
  const count = Math.min(source.length, checkedImages);
  let reason = '';
  try {
    for (let i = count - 1; i >= 0; i--) {
      const image = Math.floor((i * source.length) / count);
      try {
        await decoder.size(source.read(image, new FileBuffer()));
        return undefined;
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        reason = `${source.name(image)}: ${messageOf(error)}`;
      }
    }
  } finally {
    decoder.close();
  }
  return `expected images that can be read in ${source.root}, got none among ${count}, such as ${reason}`;
}
