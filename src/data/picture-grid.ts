import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';
import { messageOf, UserError } from '../util/errors.js';

/** Panels smaller than this are enlarged by whole factors, so that small models' pictures can be looked at. */
const smallestPanel = 192;
const gap = 8;

/**
 * Writes rows of square pictures as one PNG with white gaps.
 *
 * @param rows uint8 [size, size, 3] each; every row has as many pictures.
 */
export async function writePictureGrid(
  path: string,
  rows: readonly (readonly Uint8Array[])[],
  size: number,
): Promise<void> {
  const factor = Math.max(1, Math.ceil(smallestPanel / size));
  const panel = size * factor;
  const width = rows[0]!.length * (panel + gap) + gap;
  const height = rows.length * (panel + gap) + gap;
  const canvas = new Uint8Array(width * height * 3).fill(255);
  rows.forEach((row, r) => {
    row.forEach((picture, column) => {
      const top = gap + r * (panel + gap);
      const left = gap + column * (panel + gap);
      for (let y = 0; y < panel; y++) {
        const source = Math.floor(y / factor) * size;
        let target = ((top + y) * width + left) * 3;
        for (let x = 0; x < panel; x++) {
          const pixel = (source + Math.floor(x / factor)) * 3;
          canvas[target++] = picture[pixel]!;
          canvas[target++] = picture[pixel + 1]!;
          canvas[target++] = picture[pixel + 2]!;
        }
      }
    });
  });
  try {
    await mkdir(dirname(path), { recursive: true });
    await sharp(canvas, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(path);
  } catch (error) {
    throw new UserError(`picture: cannot write ${path} (${messageOf(error)}); choose another place with -o`);
  }
}
