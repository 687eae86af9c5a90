import { type BmpHeader, decodeBmp, readBmpHeader } from './bmp.js';
import { withoutTransparency } from './gif.js';
import { orientationOf, readFirstIfd } from './ifd.js';
import { decodeWithJpegJs } from './jpeg-js.js';
import { checkJpegIsWhole, checkJpegKind, type JpegHeader, readJpegHeader } from './jpeg-markers.js';
import { storedRegion, turnedRegion, turnedSize } from './orientation.js';
import {
  type DecodedRegion,
  ImageError,
  maxPixels,
  type Pixels,
  type Region,
  type Reserve,
  type Size,
} from './pixels.js';
import { readPngHeader } from './png.js';
import {
  decodeDeep,
  decodeTiff,
  decodeWithSharp,
  readSharpHeader,
  type SharpHeader,
  sharpUnavailable,
} from './sharp.js';
import { sniffFormat } from './sniff.js';
import { readTiffHeader, type TiffHeader } from './tiff.js';
import { TurboJpegDecoder, turboJpegUnavailable } from './turbojpeg.js';

export type JpegDecoder = 'turbojpeg' | 'sharp' | 'jpeg-js';

/** What a file says of its picture before it is decoded. The size is that of the upright picture, if it is turned. */
export interface PictureHeader extends Size {
  /** 1, and not turned by it, unless that was asked for. */
  orientation: number;
  /** The size as it is stored. */
  stored: Size;
  kind:
    | { format: 'jpeg'; jpeg: JpegHeader }
    | { format: 'tiff'; tiff: TiffHeader }
    | { format: 'bmp'; bmp: BmpHeader }
    | { format: 'png' | 'webp' | 'gif' | 'avif'; sharp: SharpHeader; isFullRange: boolean };
}

type Kind = PictureHeader['kind'];

function checkSize({ width, height }: Size): void {
  if (width < 1 || height < 1 || width * height > maxPixels)
    throw new ImageError(`expected 1 to ${maxPixels} pixels, got ${width} x ${height}`);
}

async function readKind(bytes: Uint8Array): Promise<{ kind: Kind; size: Size }> {
  const format = sniffFormat(bytes);
  if (format === 'jpeg') {
    const jpeg = readJpegHeader(bytes);
    return { kind: { format, jpeg }, size: jpeg };
  }
  if (format === 'tiff') {
    const tiff = readTiffHeader(bytes);
    return { kind: { format, tiff }, size: tiff };
  }
  if (format === 'bmp') {
    const bmp = readBmpHeader(bytes);
    return { kind: { format, bmp }, size: bmp };
  }
  const png = format === 'png' ? readPngHeader(bytes) : undefined;
  if (png) checkSize(png);
  const sharp = await readSharpHeader(bytes);
  // libheif shifts 10 and 12 bits up to 16
  const isFullRange = png === undefined || png.hasSignificantBits;
  return { kind: { format, sharp, isFullRange }, size: sharp };
}

function orientationIn(kind: Kind): number {
  if (kind.format === 'jpeg') return kind.jpeg.exif ? orientationOf(readFirstIfd(kind.jpeg.exif)) : 1;
  if (kind.format === 'tiff') return kind.tiff.orientation;
  return kind.format === 'bmp' ? 1 : kind.sharp.orientation;
}

/**
 * Decodes pictures to 8-bit RGB, one at a time, reusing its native handle and buffers. JPEG goes to
 * libturbojpeg, else sharp, else jpeg-js, by what runs on this machine; BMP is read here, every other format by sharp.
 * What becomes of other depths and colours: docs/picture-kinds.md, `toBytes`, `readTiffHeader`.
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

  /** Reads no pixels. @param turn whether the picture is to be turned upright by its EXIF orientation */
  async header(bytes: Uint8Array, turn = false): Promise<PictureHeader> {
    const { kind, size } = await readKind(bytes);
    const stored = { width: size.width, height: size.height };
    checkSize(stored);
    const orientation = turn ? orientationIn(kind) : 1;
    const { width, height } = turnedSize(stored, orientation);
    return { width, height, orientation, stored, kind };
  }

  /** The size as stored, from the header alone. */
  async size(bytes: Uint8Array): Promise<Size> {
    return (await this.header(bytes)).stored;
  }

  /** The whole picture. `data` is good until the next call. */
  async decode(bytes: Uint8Array, turn = false): Promise<DecodedRegion> {
    const header = await this.header(bytes, turn);
    const whole = { left: 0, top: 0, width: header.width, height: header.height };
    return await this.decodeRegion(bytes, whole, whole, 0, header);
  }

  /**
   * At least `region` (pixels of the whole picture as `header` has it) with `margin` more on each side where there are
   * any. JPEGs may come halved up to three times, but never smaller than `target` over the region. `data` is good until
   * the next call.
   */
  async decodeRegion(
    bytes: Uint8Array,
    region: Region,
    target: Size,
    margin = 0,
    header?: PictureHeader,
  ): Promise<DecodedRegion> {
    const { kind, orientation, stored } = header ?? (await this.header(bytes));
    if (kind.format === 'jpeg') {
      const { jpeg } = kind;
      checkJpegKind(jpeg);
      checkJpegIsWhole(bytes, jpeg);
      this.#jpeg ??= await bestJpegDecoder();
      if (this.#jpeg === 'turbojpeg') {
        this.#turbo ??= new TurboJpegDecoder(this.#reserve);
        const place = storedRegion(region, stored, orientation);
        const size = turnedSize({ height: target.height, width: target.width }, orientation);
        return turnedRegion(this.#turbo.decodeRegion(bytes, jpeg, place, size, margin), orientation);
      }
    }
    const whole = await decodeWhole(bytes, kind, this.#jpeg);
    // the region as it was asked for, to the last bit: a turn there and back rounds it
    return { ...turnedRegion({ ...whole, box: region }, orientation), box: region };
  }
}

async function decodeWhole(
  bytes: Uint8Array,
  kind: Kind,
  jpegDecoder: JpegDecoder | undefined,
): Promise<Pixels & Pick<DecodedRegion, 'notes'>> {
  switch (kind.format) {
    case 'jpeg':
      // sharp turns CMYK to RGB through a colour profile; jpeg-js does it plainly, as Pillow does.
      if (jpegDecoder === 'jpeg-js' || kind.jpeg.components === 4) return decodeWithJpegJs(bytes, kind.jpeg);
      return decodeWithSharp(bytes);
    case 'tiff':
      return decodeTiff(bytes, kind.tiff);
    case 'bmp':
      return decodeBmp(bytes, kind.bmp);
    default: {
      const { sharp, isFullRange } = kind;
      if (sharp.depth !== 'uchar') return decodeDeep(bytes, sharp, isFullRange);
      const picture = await decodeWithSharp(kind.format === 'gif' ? withoutTransparency(bytes) : bytes);
      const notes = [{ kind: 'frames', text: `the first of ${sharp.pages} frames is read` }];
      return sharp.pages > 1 ? { ...picture, notes } : picture;
    }
  }
}

async function bestJpegDecoder(): Promise<JpegDecoder> {
  if (!turboJpegUnavailable()) return 'turbojpeg';
  return (await sharpUnavailable()) ? 'jpeg-js' : 'sharp';
}
