import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';
import { messageOf, UserError } from '../../util/errors.js';

/** Panels smaller than this are enlarged by whole factors, so that small models' pictures can be looked at. */
const smallestPanel = 192;
const gap = 8;

/**
 * Writes rows of pictures as one PNG with white gaps.
 *
 * @param rows uint8 [height, width, 3] each; every row has as many pictures.
 */
export async function writePictureGrid(
  path: string,
  rows: readonly (readonly Uint8Array[])[],
  { height, width }: { height: number; width: number },
): Promise<void> {
  const factor = Math.max(1, Math.ceil(smallestPanel / Math.max(height, width)));
  const panel = { height: height * factor, width: width * factor };
  const gridWidth = rows[0]!.length * (panel.width + gap) + gap;
  const gridHeight = rows.length * (panel.height + gap) + gap;
  const canvas = new Uint8Array(gridWidth * gridHeight * 3).fill(255);
  rows.forEach((row, r) => {
    row.forEach((picture, column) => {
      const top = gap + r * (panel.height + gap);
      const left = gap + column * (panel.width + gap);
      for (let y = 0; y < panel.height; y++) {
        const source = Math.floor(y / factor) * width;
        let target = ((top + y) * gridWidth + left) * 3;
        for (let x = 0; x < panel.width; x++) {
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
    await sharp(canvas, { raw: { width: gridWidth, height: gridHeight, channels: 3 } })
      .png()
      .toFile(path);
  } catch (error) {
    throw new UserError(`picture: cannot write ${path} (${messageOf(error)}); choose another place with -o`);
  }
}
