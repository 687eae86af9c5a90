import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import jpeg from 'jpeg-js';
import type { Sharp } from 'sharp';
import { UserError } from '../../util/errors.js';
import { replaceFile } from '../../util/replace-file.js';
import { encodePng, type RgbPicture } from './encode-png.js';
import { namesSoftware, softwareExif } from './exif.js';
import { loadSharp, neededSharp, type SharpModule } from './load-sharp.js';
import { withAlpha } from './with-alpha.js';

const formats = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg', '.webp': 'webp' } as const;
type PictureFormat = (typeof formats)[keyof typeof formats];

const largestSides: Record<PictureFormat, number> = { png: 2 ** 31 - 1, jpeg: 65535, webp: 16383 };

const jpegQuality = 95;
const encodings: Record<PictureFormat, object> = {
  png: {},
  jpeg: { quality: jpegQuality, chromaSubsampling: '4:4:4' },
  webp: { quality: 95 },
};

/** EXIF's Software: a picture that says this may be written again. */
const writtenBy = 'mae reconstruct';

/** Whether a file is a picture that was written here. */
export async function isWrittenHere(path: string): Promise<boolean> {
  return await namesSoftware(path, writtenBy);
}

/** A UserError where a path's ending names no format that can be written. */
export async function checkPictureFormat(path: string): Promise<void> {
  if (formatOf(path) !== 'webp') return;
  await neededSharp(`--output: expected sharp for ${path}`, 'write a .png or .jpg');
}

/** A UserError where a picture is too large for the format of a path. */
export function checkPictureSize(path: string, { width, height }: Omit<RgbPicture, 'data'>): void {
  const largest = largestSides[formatOf(path)];
  if (Math.max(width, height) <= largest) return;
  throw new UserError(
    `picture: expected at most ${largest} pixels a side in ${path}, got ${width} × ${height}; ` +
      'give fewer pictures, or write a .png',
  );
}

/** Writes PNG, JPEG or WebP, as the path ends. */
export async function writePicture(path: string, picture: RgbPicture): Promise<void> {
  const format = formatOf(path);
  const sharp = await loadSharp();
  const bytes =
    typeof sharp === 'string' ? encodePlainly(picture, format) : await encode(sharp, picture, format);
  await replaceFile(path, 'picture', (temporary) => writeFile(temporary, bytes));
}

function formatOf(path: string): PictureFormat {
  const format = (formats as Record<string, PictureFormat>)[extname(path).toLowerCase()];
  if (format !== undefined) return format;
  const endings = Object.keys(formats).join(', ');
  throw new UserError(`--output: expected a picture that ends in ${endings}, got ${path}; rename it`);
}

function encode(
  sharp: SharpModule,
  { width, height, data }: RgbPicture,
  format: PictureFormat,
): Promise<Buffer> {
  const picture: Sharp = sharp(data, { raw: { width, height, channels: 3 } });
  return picture
    .withExif({ IFD0: { Software: writtenBy } })
    .toFormat(format, encodings[format])
    .toBuffer();
}

/** In JavaScript alone. */
function encodePlainly(picture: RgbPicture, format: PictureFormat): Buffer {
  const exif = softwareExif(writtenBy);
  if (format === 'png') return encodePng(picture, exif);
  const { width, height } = picture;
  const exifBuffer = Buffer.concat([Buffer.from('Exif\0\0', 'latin1'), exif]);
  const image = { width, height, data: withAlpha(picture), exifBuffer }; // which its types do not know
  return jpeg.encode(image, jpegQuality).data;
}
