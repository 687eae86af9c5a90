import type { Sharp } from 'sharp';
import { messageOf } from '../../util/errors.js';
import { ImageError, maxPixels, type Pixels, type Size } from './pixels.js';

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

/** Embedded colour profiles are ignored, as Pillow and torchvision do; damaged data throws. */
async function open(bytes: Uint8Array): Promise<Sharp> {
  const sharp = await load();
  if (typeof sharp === 'string') throw new Error(sharp);
  return sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: maxPixels });
}

/** sharp's messages may span lines, and say no more than 'Unknown error' of a header that ends early. */
function asImageError(error: unknown): ImageError {
  return new ImageError(`damaged or truncated image: ${messageOf(error).split('\n')[0]}`);
}

/** The size as stored and the EXIF orientation (1 where none is given), from the header alone. */
export async function readSharpHeader(bytes: Uint8Array): Promise<Size & { orientation: number }> {
  const picture = await open(bytes);
  try {
    const { width, height, orientation = 1 } = await picture.metadata();
    return { width, height, orientation };
  } catch (error) {
    throw asImageError(error);
  }
}

/**
 * The first page as 8-bit RGB, not turned: alpha is dropped, grey repeated, 16 bits cut to their high 8.
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
