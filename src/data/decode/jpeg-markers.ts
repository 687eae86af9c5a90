import { ImageError } from './pixels.js';

/** What the markers of a JPEG file say (ITU-T T.81, annex B), without decoding anything. */
export interface JpegHeader {
  width: number;
  height: number;
  /** 1 is grey, 3 is YCbCr or RGB, 4 is CMYK or YCCK. */
  components: number;
  /** Columns of one unit of interleaved blocks: a decoder can only begin a row at a multiple of it. */
  unitWidth: number;
  /** Where the data of the first scan begins. */
  scanStart: number;
  /** The n of SOFn: 0 to 2 are ordinary, 3 is lossless, 9 and 10 are arithmetic-coded. */
  process: number;
  /** Bits of a sample. */
  precision: number;
  /** The EXIF block, a TIFF file of its own. */
  exif: Uint8Array | undefined;
}

type Frame = Omit<JpegHeader, 'scanStart' | 'exif'>;

const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;
const APP1 = 0xe1;
const exifStart = Buffer.from('Exif\0\0', 'latin1');

/** SOF0 … SOF15, which lie among DHT (c4), JPG (c8) and DAC (cc). */
function isStartOfFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Precision (1 byte), height (2), width (2), count of components (1); for each: id, sampling factors, table. */
function readFrame(bytes: Uint8Array, at: number, process: number): Frame {
  const components = bytes[at + 5]!;
  let factor = 1;
  for (let i = 0; i < components; i++) factor = Math.max(factor, bytes[at + 7 + 3 * i]! >> 4);
  return {
    height: (bytes[at + 1]! << 8) | bytes[at + 2]!,
    width: (bytes[at + 3]! << 8) | bytes[at + 4]!,
    components,
    unitWidth: 8 * factor,
    process,
    precision: bytes[at]!,
  };
}

/** Walks the segments up to the first scan. Thumbnails lie inside segments, so they are stepped over. */
export function readJpegHeader(bytes: Uint8Array): JpegHeader {
  let frame: Frame | undefined;
  let exif: Uint8Array | undefined;
  let at = 2;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) {
      at++; // some writers leave stray bytes between segments; decoders step over them too
      continue;
    }
    const marker = bytes[at + 1]!;
    // Fill bytes (ff ff), stuffing (ff 00) and markers that stand alone (TEM, RST0 … RST7, SOI).
    if (marker === 0xff || marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === END_OF_IMAGE) break;
    const length = (bytes[at + 2]! << 8) | bytes[at + 3]!;
    if (isStartOfFrame(marker) && at + 2 + length <= bytes.length)
      frame = readFrame(bytes, at + 4, marker - 0xc0);
    if (marker === APP1 && !exif && exifStart.equals(bytes.subarray(at + 4, at + 10)))
      exif = bytes.subarray(at + 10, at + 2 + length);
    at += 2 + length;
    if (marker === START_OF_SCAN && frame) return { ...frame, exif, scanStart: at };
  }
  throw new ImageError('damaged or truncated JPEG: no picture data after its header');
}

/**
 * Throws unless the file ends its picture. Decoders stop at the last row that they are asked for, so they do
 * not notice by themselves what is missing below it. Inside a scan ff d9 cannot occur: ff is stuffed with 00.
 */
export function checkJpegIsWhole(bytes: Uint8Array, header: JpegHeader): void {
  for (let at = bytes.length - 2; at >= header.scanStart; at--) {
    if (bytes[at] === 0xff && bytes[at + 1] === END_OF_IMAGE) return;
  }
  throw new ImageError('truncated JPEG: the end of the picture is missing');
}

/** Throws for the kinds of JPEG that no decoder here reads, and says which (T.81, table B.1). */
export function checkJpegKind({ process, precision, components }: JpegHeader): void {
  const name = `JPEG (SOF${process})`;
  const remedy = 'is not supported: save it as ordinary JPEG or PNG';
  if ([5, 6, 7, 13, 14, 15].includes(process)) throw new ImageError(`hierarchical ${name} ${remedy}`);
  if (process === 11) throw new ImageError(`arithmetic-coded lossless ${name} ${remedy}`);
  if (precision !== 8) throw new ImageError(`${precision}-bit ${name} ${remedy}`);
  if (![1, 3, 4].includes(components)) throw new ImageError(`JPEG: ${components} bands; expected 1, 3 or 4`);
}
