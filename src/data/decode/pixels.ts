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

/** Gives `length` bytes, which stay good until the next call. */
export type Reserve = (length: number) => Uint8Array;

/** Part of a picture, perhaps at a reduced scale; `box` is the region asked for, in pixels of `data`. */
export interface DecodedRegion extends Pixels {
  box: Region;
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

/**
 * Turns a picture as its EXIF orientation says (CIPA DC-008, tag 0x0112): 1 is upright, 2 mirrored, 3 half a
 * turn, 4 upside down, 5 transposed, 6 turn clockwise, 7 transverse, 8 turn counter-clockwise.
 */
export function applyOrientation(pixels: Pixels, orientation: number): Pixels {
  if (!(orientation >= 2 && orientation <= 8)) return pixels;
  const { data: source, width, height } = pixels;
  const swap = orientation >= 5;
  const flipX = orientation === 2 || orientation === 3 || orientation === 7 || orientation === 8;
  const flipY = orientation === 3 || orientation === 4 || orientation === 6 || orientation === 7;
  const outWidth = swap ? height : width;
  const outHeight = swap ? width : height;
  const data = new Uint8Array(source.length);
  let to = 0;
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      const u = swap ? y : x;
      const v = swap ? x : y;
      const from = ((flipY ? height - 1 - v : v) * width + (flipX ? width - 1 - u : u)) * 3;
      data[to++] = source[from]!;
      data[to++] = source[from + 1]!;
      data[to++] = source[from + 2]!;
    }
  }
  return { data, width: outWidth, height: outHeight };
}
