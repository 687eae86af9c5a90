import { ImageError } from './pixels.js';

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'tiff' | 'bmp' | 'gif' | 'avif';

/** What is read, for messages and help. */
export const readableFormats = 'JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF';

type Test = (bytes: Uint8Array, start: string) => boolean;

/** Begins with one of these. */
const begins =
  (...texts: string[]): Test =>
  (_, start) =>
    texts.some((text) => start.startsWith(text));
const matches =
  (pattern: RegExp): Test =>
  (_, start) =>
    pattern.test(start);
const isRiff =
  (kind: string): Test =>
  (_, start) =>
    start.startsWith('RIFF') && start.slice(8, 12) === kind;

/** The brands of the ISO base media file that HEIF and MP4 are: the major one, then those it is compatible with. */
function brandsOf(start: string): string[] {
  if (start.slice(4, 8) !== 'ftyp') return [];
  const end = Math.min(start.length, start.charCodeAt(2) * 256 + start.charCodeAt(3));
  const brands = [start.slice(8, 12)];
  for (let at = 16; at + 4 <= end; at += 4) brands.push(start.slice(at, at + 4));
  return brands;
}
const hasBrand =
  (pattern: RegExp): Test =>
  (_, start) =>
    brandsOf(start).some((brand) => pattern.test(brand));

const formats: readonly (readonly [ImageFormat, Test])[] = [
  ['png', begins('\x89PNG\r\n\x1a\n')],
  ['webp', isRiff('WEBP')],
  ['tiff', begins('II*\0', 'MM\0*', 'II+\0', 'MM\0+')], // TIFF and BigTIFF, in either byte order
  // The size of the header that follows, for 'BM' alone begins many a text.
  ['bmp', (bytes, start) => /^BM/.test(start) && [12, 40, 52, 56, 64, 108, 124].includes(bytes[14] ?? 0)],
  ['gif', begins('GIF87a', 'GIF89a')],
  ['avif', hasBrand(/^avi[fs]$/)],
];

/** Other things that lie about under the name of a picture, and what to do where that is not plain. */
const others: readonly (readonly [name: string, Test])[] = [
  ['a Git LFS pointer; git lfs pull fetches the picture itself', begins('version https://git-lfs')],
  ['SVG, which has no pixels', matches(/^\s*(<\?xml[\s\S]*?)?(<!--[\s\S]*?)?<(!doctype )?svg/i)],
  [
    'HTML, a page about an error perhaps',
    matches(/^\s*(<!--[\s\S]*?)?<(!doctype html|html|head|body|script)/i),
  ],
  ['XML', matches(/^\s*<\?xml/)],
  ['JSON', matches(/^\s*[{[]\s*["{[]/)],
  ['HEIC; convert it to JPEG or PNG', hasBrand(/^(he[iv][cmsx]|mif1|msf1)$/)],
  ['a video', hasBrand(/./)],
  ['AVI, a video', isRiff('AVI ')],
  ['a video', begins('\x1aE\xdf\xa3')],
  ['PDF', begins('%PDF')],
  ['PostScript', begins('%!PS')],
  ['a Photoshop file', begins('8BPS')],
  ['JPEG 2000', begins('\0\0\0\x0cjP  ', '\xff\x4f\xff\x51')],
  ['JPEG XL', begins('\0\0\0\x0cJXL ', '\xff\x0a')],
  ['OpenEXR', begins('v/1\x01')],
  ['Radiance HDR', begins('#?RADIANCE', '#?RGBE')],
  ['a PNM picture (PBM, PGM, PPM)', matches(/^P[1-7f]\s/i)],
  ['an icon', begins('\0\0\x01\0')],
  ['FITS', begins('SIMPLE  =')],
  ['DICOM', (_, start) => start.slice(128, 132) === 'DICM'],
  ['NumPy’s array', begins('\x93NUMPY')],
  ['HDF5', begins('\x89HDF')],
  ['a zip archive', begins('PK\x03\x04')],
  ['compressed by gzip', begins('\x1f\x8b')],
  ['a camera’s raw file', begins('IIRO', 'IIRS', 'IIU\0', 'FUJIFILMCCD-RAW', 'FOVb')],
  ['what macOS keeps beside a file (AppleDouble)', begins('\0\x05\x16\x07', '\0\x05\x16\0')],
];

/** How a file begins, where nobody knows what it is. */
function beginningOf(bytes: Uint8Array, start: string): string {
  if (bytes.subarray(0, 64).every((byte) => byte === 0)) return 'it begins with zeros';
  const text = start.slice(0, 20);
  if (/^[\t\r\n\x20-\x7e]*$/.test(text)) return `it begins with ${JSON.stringify(text)}`;
  return `it begins with the bytes ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`;
}

/** The format by the first bytes, whatever the file is called; throws for anything else, which it names if it can. */
export function sniffFormat(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) throw new ImageError('empty file');
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'jpeg'; // at once: most pictures are
  const start = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, 512)).toString('latin1');
  const format = formats.find(([, test]) => test(bytes, start));
  if (format) return format[0];
  const other = others.find(([, test]) => test(bytes, start));
  const found = other ? `it is ${other[0]}` : beginningOf(bytes, start);
  throw new ImageError(`not a ${readableFormats} image: ${found}`);
}
