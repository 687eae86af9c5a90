import type { Sharp } from 'sharp';
import { messageOf, UserError } from '../../util/errors.js';
import { float16ToFloat32 } from '../../util/half.js';
import { ImageError, type PictureNote, type Pixels, type Size } from './pixels.js';
import { type TiffHeader, withPlainTags } from './tiff.js';
import { cmykToRgb } from './turbojpeg.js';
import { type Samples, toBytes } from './values.js';

type SharpModule = typeof import('sharp').default;

let loading: Promise<SharpModule | string> | undefined;

/** sharp is loaded when first needed: JPEG folders never need it where libturbojpeg runs. */
function load(): Promise<SharpModule | string> {
  loading ??= import('sharp').then(
    ({ default: sharp }) => {
      sharp.cache(false); // every picture is read once an epoch
      sharp.concurrency(1); // the loader's workers are the parallelism
      return sharp;
    },
    (error) => `sharp does not load: ${messageOf(error)}`,
  );
  return loading;
}

/** Why sharp cannot be used here, or undefined where it can. */
export async function sharpUnavailable(): Promise<string | undefined> {
  const sharp = await load();
  return typeof sharp === 'string' ? sharp : undefined;
}

/**
 * Embedded colour profiles are ignored, as Pillow and torchvision do; damaged data throws. Limits of size are the
 * caller's, who says the true reason.
 */
async function open(bytes: Uint8Array): Promise<Sharp> {
  const sharp = await load();
  if (typeof sharp === 'string') {
    throw new UserError(
      `image: expected sharp for all but JPEG and BMP, got none (${sharp.split('\n')[0]}); run npm install again`,
    );
  }
  return sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: false });
}

/** sharp's messages may span lines, and say no more than 'Unknown error' of a header that ends early. */
function asImageError(error: unknown): ImageError {
  if (error instanceof ImageError) return error;
  const [message] = messageOf(error).split('\n');
  const isWhole = /not (configured|implemented|supported)|unsupported (?!image format)/i.test(message!);
  return new ImageError(`${isWhole ? 'not supported' : 'damaged or truncated image'}: ${message}`);
}

export interface SharpHeader extends Size {
  /** 1 where none is given, or where libheif turns by itself. */
  orientation: number;
  /** libvips' names of the colours and of the type of a value. */
  space: string;
  depth: string;
  channels: number;
  pages: number;
}

/** From the header alone. */
export async function readSharpHeader(bytes: Uint8Array): Promise<SharpHeader> {
  const picture = await open(bytes);
  try {
    const { width, height, space, depth, channels, format, ...more } = await picture.metadata();
    const orientation = format === 'heif' ? 1 : (more.orientation ?? 1);
    return { width, height, orientation, space, depth, channels, pages: more.pages ?? 1 };
  } catch (error) {
    throw asImageError(error);
  }
}

/**
 * The first page of 8-bit values as RGB, not turned: alpha is dropped, grey repeated.
 * The whole picture is decoded, whatever part is needed, so that a damaged file is noticed every time.
 */
export async function decodeWithSharp(bytes: Uint8Array): Promise<Pixels> {
  const picture = await open(bytes);
  try {
    const { data, info } = await picture
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new ImageError(`expected 3 colour channels, got ${info.channels}`);
    return { data, width: info.width, height: info.height };
  } catch (error) {
    throw asImageError(error);
  }
}

const arrays = {
  uchar: Uint8Array,
  char: Int8Array,
  ushort: Uint16Array,
  short: Int16Array,
  uint: Uint32Array,
  int: Int32Array,
  float: Float32Array,
} as const;
type Depth = keyof typeof arrays;
type Values = InstanceType<(typeof arrays)[Depth]>;

/** The values of the first page as they are stored, without alpha: libvips converts nothing between the same spaces. */
async function readValues(
  bytes: Uint8Array,
  { space, depth }: SharpHeader,
): Promise<Size & { values: Values; bands: number }> {
  const Values = arrays[depth as Depth];
  if (Values === undefined) throw new ImageError(`not supported: values of type ${depth}`);
  const picture = await open(bytes);
  try {
    const { data, info } = await picture
      .removeAlpha()
      .pipelineColourspace(space)
      .toColourspace(space)
      .raw({ depth: depth as Depth })
      .toBuffer({ resolveWithObject: true });
    const { buffer, byteOffset, length } = data;
    const { width, height, channels: bands } = info;
    const values = new Values(buffer as ArrayBuffer, byteOffset, length / Values.BYTES_PER_ELEMENT);
    return { values, width, height, bands };
  } catch (error) {
    throw asImageError(error);
  }
}

type Noted = Pixels & { notes: readonly PictureNote[] };

/** A picture of more than 8 bits: see `toBytes`. */
export async function decodeDeep(
  bytes: Uint8Array,
  header: SharpHeader,
  isFullRange: boolean,
): Promise<Noted> {
  const { values, bands, ...size } = await readValues(bytes, header);
  const kind = header.depth === 'float' ? 'float' : 'unsigned';
  const bits = 8 * values.BYTES_PER_ELEMENT;
  const { data, notes } = toBytes({ values, bits, kind, isFullRange, whiteIsZero: false });
  return { ...size, data: asRgb(data, bands), notes };
}

/** A TIFF picture of any kind that `readTiffHeader` lets through. */
export async function decodeTiff(bytes: Uint8Array, tiff: TiffHeader): Promise<Noted> {
  const plain = withPlainTags(bytes, tiff);
  const header = await readSharpHeader(plain);
  const notes: PictureNote[] = [];
  if (header.pages > 1) notes.push({ kind: 'pages', text: `the first of ${header.pages} pages is read` });
  if (tiff.isUnnamed) notes.push({ kind: 'bands', text: 'its 3 bands are taken as red, green and blue' });
  // libtiff itself turns the YCbCr of JPEG to RGB, and that with fewer samples of colour
  const isYcbcr = tiff.colours === 'ycbcr' && !tiff.isJpeg && header.channels === 3;
  if (header.depth === 'uchar' && tiff.colours !== 'cmyk' && !isYcbcr)
    return { ...(await decodeWithSharp(plain)), notes };

  const { values, bands, ...size } = await readValues(plain, header);
  const samples = storedSamples(values, tiff, header);
  const { data, notes: found } = toBytes(samples);
  if (isYcbcr) ycbcrToRgb(data);
  return { ...size, data: asRgb(data, bands), notes: [...notes, ...found] };
}

/** The values as the file has them, before libvips turned what is white where 0 is, and in their own type. */
function storedSamples(
  values: Values,
  { bits, values: kind, whiteIsZero }: TiffHeader,
  { depth }: SharpHeader,
): Samples {
  if (whiteIsZero && depth.startsWith('u')) for (let i = 0; i < values.length; i++) values[i] = ~values[i]!;
  const isRetyped = bits === 16 && kind !== 'unsigned';
  const words = values as Uint16Array<ArrayBuffer>;
  const own = !isRetyped
    ? values
    : kind === 'float'
      ? float16ToFloat32(words)
      : new Int16Array(words.buffer, words.byteOffset, words.length);
  return { values: own, bits, kind, isFullRange: bits <= 8, whiteIsZero };
}

/** One band is repeated, four are CMYK. */
function asRgb(data: Uint8Array, bands: number): Uint8Array {
  if (bands === 3) return data;
  if (bands === 4) {
    for (let i = 0; i < data.length; i++) data[i] = 255 - data[i]!;
    cmykToRgb(data, data.length / 4);
    return data.subarray(0, (data.length / 4) * 3);
  }
  if (bands !== 1) throw new ImageError(`${bands} bands; expected 1 or 3, and alpha`);
  const rgb = new Uint8Array(data.length * 3);
  for (let i = 0; i < data.length; i++) rgb.fill(data[i]!, 3 * i, 3 * i + 3);
  return rgb;
}

/** In place, as JFIF has it: R = Y + 1.402 Cr, G = Y − 0.344136 Cb − 0.714136 Cr, B = Y + 1.772 Cb, with Cb and Cr from −128. */
function ycbcrToRgb(data: Uint8Array): void {
  const clamped = new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < data.length; i += 3) {
    const y = data[i]!;
    const cb = data[i + 1]! - 128;
    const cr = data[i + 2]! - 128;
    clamped[i] = y + 1.402 * cr;
    clamped[i + 1] = y - 0.344136 * cb - 0.714136 * cr;
    clamped[i + 2] = y + 1.772 * cb;
  }
}
