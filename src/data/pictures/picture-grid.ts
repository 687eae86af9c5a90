import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import sharp from 'sharp';
import { UserError } from '../../util/errors.js';
import { replaceFile } from '../../util/replace-file.js';
import { gridCanvas, gridLayout, gridSize } from './grid-canvas.js';

/** Panels smaller than this are enlarged by whole factors, so that small models' pictures can be looked at. */
const smallestPanel = 192;

/**
 * Writes rows of pictures as one PNG, JPEG or WebP, as the path ends, with white gaps.
 *
 * @param rows uint8 [height, width, 3] each; every row has as many pictures.
 */
export async function writePictureGrid(
  path: string,
  rows: readonly (readonly Uint8Array[])[],
  size: { height: number; width: number },
): Promise<void> {
  const layout = gridLayout(size, smallestPanel);
  const { height, width } = gridSize(layout, rows.length, rows[0]!.length);
  const format = pictureFormat(path);
  const largest = largestSides[format];
  if (Math.max(width, height) > largest) {
    throw new UserError(
      `picture: expected at most ${largest} pixels a side in ${path}, got ${width} × ${height}; ` +
        'give fewer pictures, or write a .png',
    );
  }
  const picture = sharp(gridCanvas(rows, layout).data, { raw: { width, height, channels: 3 } });
  const bytes = await picture
    .withExif({ IFD0: { Software: writtenBy } })
    .toFormat(format, encodings[format])
    .toBuffer();
  await replaceFile(path, 'picture', (temporary) => writeFile(temporary, bytes));
}

const formats = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg', '.webp': 'webp' } as const;
type PictureFormat = (typeof formats)[keyof typeof formats];

const largestSides: Record<PictureFormat, number> = { png: 2 ** 31 - 1, jpeg: 65535, webp: 16383 };

const encodings: Record<PictureFormat, object> = {
  png: {},
  jpeg: { quality: 95, chromaSubsampling: '4:4:4' },
  webp: { quality: 95 },
};

/** EXIF's Software: a picture that says this may be written again. */
const writtenBy = 'mae reconstruct';

/** The format that the ending of a path says; a UserError where it says none. */
export function pictureFormat(path: string): PictureFormat {
  const format = (formats as Record<string, PictureFormat>)[extname(path).toLowerCase()];
  if (format !== undefined) return format;
  const endings = Object.keys(formats).join(', ');
  throw new UserError(`--output: expected a picture that ends in ${endings}, got ${path}; rename it`);
}

/** Whether a file is a picture that was written here. */
export async function isPictureGrid(path: string): Promise<boolean> {
  const metadata = await sharp(path)
    .metadata()
    .catch(() => undefined);
  return metadata?.exif?.includes(writtenBy) ?? false;
}
