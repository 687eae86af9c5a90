import { codeOf } from '../../util/errors.js';

/** Height and width in pixels. */
export interface Size {
  height: number;
  width: number;
}

/** A rectangle in pixels, not necessarily whole ones. */
export interface Region extends Size {
  left: number;
  top: number;
}

/** An 8-bit RGB picture, rows packed: `data` is [height, width, 3]. */
export interface Pixels extends Size {
  data: Uint8Array;
}

/** What a person should know of how a picture was read; of each kind one is enough. `text` follows the picture's name. */
export interface PictureNote {
  kind: string;
  text: string;
}

/** Gives `length` bytes, which stay good until the next call. */
export type Reserve = (length: number) => Uint8Array;

/** Part of a picture, perhaps at a reduced scale; `box` is the region asked for, in pixels of `data`. */
export interface DecodedRegion extends Pixels {
  box: Region;
  notes?: readonly PictureNote[];
}

/** The bytes are not a readable picture. Anything else that a decoder throws is a fault of the program. */
export class ImageError extends Error {
  override name = 'ImageError';
}

/** Whether an error says that an image cannot be read: damaged bytes, or a system error such as a file that is gone. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof ImageError || codeOf(error)?.startsWith('E') === true;
}

/** Pillow refuses more than 179 million pixels as a decompression bomb, sharp more than 268 million. */
export const maxPixels = 2 ** 28;
