import { type Ifd, orientationOf, readFirstIfd } from './ifd.js';
import { ImageError, type Size } from './pixels.js';

/** What the first directory of a TIFF file says of its picture. */
export interface TiffHeader extends Size {
  orientation: number;
  colours: 'grey' | 'rgb' | 'palette' | 'cmyk' | 'ycbcr';
  /** Whether 0 is white: PhotometricInterpretation 0. */
  whiteIsZero: boolean;
  bits: number;
  values: 'unsigned' | 'signed' | 'float';
  isJpeg: boolean;
  /** Three bands that no tag calls red, green and blue, as GDAL writes them. */
  isUnnamed: boolean;
  ifd: Ifd;
}

const tag = {
  subfileType: 254,
  width: 256,
  height: 257,
  bitsPerSample: 258,
  compression: 259,
  photometric: 262,
  samplesPerPixel: 277,
  extraSamples: 338,
  sampleFormat: 339,
  dngVersion: 50706,
} as const;

const coloursOf = new Map<number, TiffHeader['colours']>([
  [0, 'grey'],
  [1, 'grey'],
  [2, 'rgb'],
  [3, 'palette'],
  [5, 'cmyk'],
  [6, 'ycbcr'],
]);
const bandsOf = { grey: 1, rgb: 3, palette: 1, cmyk: 4, ycbcr: 3 } as const;
const unreadable = new Map([
  [4, 'a mask, no picture'],
  [8, 'CIE L*a*b* colours'],
  [9, 'ICC L*a*b* colours'],
  [10, 'ITU L*a*b* colours'],
  [32803, 'a camera’s raw data (CFA)'],
  [34892, 'a camera’s raw data (LinearRaw)'],
  [32844, 'LogL values'],
  [32845, 'LogLuv colours'],
]);
const depths = { unsigned: [1, 2, 4, 8, 16, 32], signed: [8, 16, 32], float: [16, 32] } as const;
const formatOf = new Map<number, TiffHeader['values']>([
  [1, 'unsigned'],
  [2, 'signed'],
  [3, 'float'],
  [4, 'unsigned'], // "undefined"
]);

/** Throws where the picture is of a kind that is not read, and says which. */
export function readTiffHeader(bytes: Uint8Array): TiffHeader {
  const ifd = readFirstIfd(bytes);
  const valuesOf = (field: number) => ifd?.fields.get(field)?.values ?? [];
  const one = (field: number) => valuesOf(field)[0];
  const [width, height] = [one(tag.width), one(tag.height)];
  if (ifd === undefined || width === undefined || height === undefined)
    throw new ImageError('damaged or truncated TIFF: its first directory names no picture');
  if (one(tag.dngVersion) !== undefined || ((one(tag.subfileType) ?? 0) & 1) === 1)
    throw new ImageError(
      'TIFF: its first picture is a reduced one, as in a camera’s raw file; develop it to PNG, JPEG or TIFF',
    );
  const photometric = one(tag.photometric) ?? 1;
  const samples = one(tag.samplesPerPixel) ?? 1;
  const extra = valuesOf(tag.extraSamples);
  const isUnnamed = photometric === 1 && samples === 3 && !extra.some((kind) => kind > 0);
  const colours = isUnnamed ? 'rgb' : coloursOf.get(photometric);
  if (colours === undefined) {
    const kind = unreadable.get(photometric) ?? `PhotometricInterpretation ${photometric}`;
    throw new ImageError(`TIFF: expected grey, RGB, palette, CMYK or YCbCr, got ${kind}`);
  }
  const alphas = isUnnamed ? 0 : extra.filter((kind) => kind === 1 || kind === 2).length;
  checkBands(colours, samples, alphas);
  const format = one(tag.sampleFormat) ?? 1;
  const values = formatOf.get(format);
  const bits = one(tag.bitsPerSample) ?? 1;
  const isOfOneDepth = valuesOf(tag.bitsPerSample).every((each) => each === bits);
  if (values === undefined || !isOfOneDepth || !(depths[values] as readonly number[]).includes(bits)) {
    const got = isOfOneDepth ? String(bits) : valuesOf(tag.bitsPerSample).join(', ');
    throw new ImageError(
      `TIFF: expected integers of 1 to 8, 16 or 32 bits or floats of 16 or 32, got ${values ?? 'complex'} values of ${got} bits`,
    );
  }
  if (colours === 'ycbcr' && (bits !== 8 || values !== 'unsigned'))
    throw new ImageError(`TIFF: expected YCbCr of 8 bits, got ${bits}`);
  return {
    width,
    height,
    orientation: orientationOf(ifd),
    colours,
    whiteIsZero: photometric === 0,
    bits,
    values,
    isJpeg: [6, 7].includes(one(tag.compression) ?? 1),
    isUnnamed,
    ifd,
  };
}

function checkBands(colours: TiffHeader['colours'], samples: number, alphas: number): void {
  const bands = bandsOf[colours];
  if (samples === bands || (samples === bands + 1 && alphas === 1)) return;
  const expected = bands < 4 ? '1 or 3' : '4 of CMYK';
  const undeclared = samples === bands + 1 ? ' (no ExtraSamples says that the last is alpha)' : '';
  throw new ImageError(`TIFF: ${samples} bands${undeclared}; expected ${expected}, and alpha`);
}

/**
 * The file such that libvips hands its values over untouched: it would read 16-bit integers with a sign and floats as
 * integers without one, and keep one of three bands that nobody calls colours.
 */
export function withPlainTags(bytes: Uint8Array, { bits, values, isUnnamed, ifd }: TiffHeader): Uint8Array {
  const changes: [number, number][] = [];
  if (bits === 16 && values !== 'unsigned') changes.push([tag.sampleFormat, 1]);
  if (isUnnamed) changes.push([tag.photometric, 2]);
  if (changes.length === 0) return bytes;
  const changed = Uint8Array.from(bytes);
  const view = new DataView(changed.buffer);
  for (const [field, value] of changes) {
    const there = ifd.fields.get(field);
    there?.values.forEach((_, i) => {
      const at = there.at + i * there.bytes;
      if (there.bytes === 2) view.setUint16(at, value, ifd.littleEndian);
      else if (there.bytes === 4) view.setUint32(at, value, ifd.littleEndian);
    });
  }
  return changed;
}
