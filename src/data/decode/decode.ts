import { decodeWithJpegJs } from './jpeg-js.js';
import { checkJpegIsWhole, readJpegHeader } from './jpeg-markers.js';
import {
  type DecodedRegion,
  ImageError,
  maxPixels,
  type Pixels,
  type Region,
  type Reserve,
  type Size,
} from './pixels.js';
import { decodeWithSharp, readSharpHeader, sharpUnavailable } from './sharp.js';
import { TurboJpegDecoder, turboJpegUnavailable } from './turbojpeg.js';

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'tiff';
export type JpegDecoder = 'turbojpeg' | 'sharp' | 'jpeg-js';

const ascii = (bytes: Uint8Array, start: number, end: number) =>
  String.fromCharCode(...bytes.subarray(start, end));

/** The format by the first bytes, whatever the file is called; throws for anything else. */
export function sniffFormat(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) throw new ImageError('empty file');
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return 'jpeg';
  if (bytes[0] === 0x89 && ascii(bytes, 1, 8) === 'PNG\r\n\x1a\n') return 'png';
  if (ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 12) === 'WEBP') return 'webp';
  // TIFF and BigTIFF, in either byte order.
  if (['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].includes(ascii(bytes, 0, 4))) return 'tiff';
  throw new ImageError('not a JPEG, PNG, WebP or TIFF image');
}

function checkSize<T extends Size>(size: T): T {
  if (size.width < 1 || size.height < 1 || size.width * size.height > maxPixels) {
    throw new ImageError(`expected 1 to ${maxPixels} pixels, got ${size.width} x ${size.height}`);
  }
  return size;
}

/**
 * Decodes pictures to 8-bit RGB, one at a time, reusing its native handle and buffers. JPEG goes to
 * libturbojpeg, else sharp, else jpeg-js, by what runs on this machine; every other format goes to sharp.
 */
export class ImageDecoder {
  #jpeg: JpegDecoder | undefined;
  #turbo: TurboJpegDecoder | undefined;
  readonly #reserve: Reserve | undefined;

  /**
   * `jpeg` fixes the decoder of JPEG files instead of choosing the fastest that runs. libturbojpeg puts pictures
   * into the memory of `reserve`, if that is given.
   */
  constructor(jpeg?: JpegDecoder, reserve?: Reserve) {
    this.#jpeg = jpeg;
    this.#reserve = reserve;
  }

  close(): void {
    this.#turbo?.close();
    this.#turbo = undefined;
  }

  /** The size as stored (EXIF rotation not applied), from the header alone. */
  async size(bytes: Uint8Array): Promise<Size> {
    const { width, height } =
      sniffFormat(bytes) === 'jpeg' ? readJpegHeader(bytes) : await readSharpHeader(bytes);
    return checkSize({ width, height });
  }

  /** The EXIF orientation, 1 (upright) … 8. */
  async orientation(bytes: Uint8Array): Promise<number> {
    sniffFormat(bytes);
    if (await sharpUnavailable()) return 1;
    return (await readSharpHeader(bytes)).orientation;
  }

  /** The whole picture, EXIF rotation not applied. `data` is good until the next call. */
  async decode(bytes: Uint8Array): Promise<Pixels> {
    const { width, height } = await this.size(bytes);
    const whole = { left: 0, top: 0, width, height };
    return await this.decodeRegion(bytes, whole, whole);
  }

  /**
   * At least `region` (pixels of the whole picture) with `margin` more on each side where there are any. JPEGs
   * may come halved up to three times, but never smaller than `target` over the region. `data` is good until
   * the next call.
   */
  async decodeRegion(bytes: Uint8Array, region: Region, target: Size, margin = 0): Promise<DecodedRegion> {
    if (sniffFormat(bytes) === 'jpeg') {
      const header = readJpegHeader(bytes);
      checkSize(header);
      checkJpegIsWhole(bytes, header);
      this.#jpeg ??= await bestJpegDecoder();
      if (this.#jpeg === 'turbojpeg') {
        this.#turbo ??= new TurboJpegDecoder(this.#reserve);
        return this.#turbo.decodeRegion(bytes, header.unitWidth, region, target, margin);
      }
      // sharp turns CMYK to RGB through a colour profile; jpeg-js does it plainly, as Pillow does.
      if (this.#jpeg === 'jpeg-js' || header.components === 4)
        return { ...decodeWithJpegJs(bytes), box: region };
    }
    return { ...(await decodeWithSharp(bytes)), box: region };
  }
}

async function bestJpegDecoder(): Promise<JpegDecoder> {
  if (!turboJpegUnavailable()) return 'turbojpeg';
  return (await sharpUnavailable()) ? 'jpeg-js' : 'sharp';
}
