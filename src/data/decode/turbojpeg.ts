import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { messageOf } from '../../util/errors.js';
import type { JpegHeader } from './jpeg-markers.js';
import {
  type DecodedRegion,
  ImageError,
  type Pixels,
  type Region,
  type Reserve,
  type Size,
} from './pixels.js';

// Numbers of turbojpeg.h 3.x.
const TJINIT_DECOMPRESS = 1;
const TJPARAM_SUBSAMP = 4;
const TJPARAM_JPEGWIDTH = 5;
const TJPARAM_JPEGHEIGHT = 6;
const TJPARAM_COLORSPACE = 8;
const TJCS_CMYK = 3;
const TJCS_YCCK = 4;
const TJPF_RGB = 0;
const TJPF_CMYK = 11;
const TJERR_WARNING = 0;
const TJSAMP_UNKNOWN = -1;
/** The scales that libjpeg-turbo has SIMD code for; the other eighths cost more than they save. */
const scaleDenominators = [8, 4, 2];

type Handle = unknown;

interface Library {
  init(type: number): Handle;
  destroy(handle: Handle): void;
  header(handle: Handle, bytes: Uint8Array, size: number): number;
  get(handle: Handle, parameter: number): number;
  scale(handle: Handle, factor: { num: number; denom: number }): number;
  crop(handle: Handle, region: { x: number; y: number; w: number; h: number }): number;
  decompress(
    handle: Handle,
    bytes: Uint8Array,
    size: number,
    out: Uint8Array,
    pitch: number,
    format: number,
  ): number;
  errorText(handle: Handle): string;
  errorCode(handle: Handle): number;
}

/** Files that may hold the library: Linux only, one for glibc and one for musl; the wrong one does not load. */
function libraryPaths(): string[] {
  const require = createRequire(import.meta.url);
  const prebuilds = join(dirname(require.resolve('@julusian/jpeg-turbo/package.json')), 'prebuilds');
  const base = join(prebuilds, `jpeg-turbo-${process.platform}-${process.arch}`);
  return [base, `${base}-musl`]
    .map((folder) => join(folder, 'libturbojpeg.so.0'))
    .filter((path) => existsSync(path));
}

function bind(path: string): Library {
  const library = koffi.load(path);
  const factor = koffi.struct({ num: 'int', denom: 'int' });
  const region = koffi.struct({ x: 'int', y: 'int', w: 'int', h: 'int' });
  const bytes = 'uint8_t *';
  return {
    init: library.func('tj3Init', 'void *', ['int']),
    destroy: library.func('tj3Destroy', 'void', ['void *']),
    header: library.func('tj3DecompressHeader', 'int', ['void *', bytes, 'size_t']),
    get: library.func('tj3Get', 'int', ['void *', 'int']),
    scale: library.func('tj3SetScalingFactor', 'int', ['void *', factor]),
    crop: library.func('tj3SetCroppingRegion', 'int', ['void *', region]),
    decompress: library.func('tj3Decompress8', 'int', ['void *', bytes, 'size_t', bytes, 'int', 'int']),
    errorText: library.func('tj3GetErrorStr', 'str', ['void *']),
    errorCode: library.func('tj3GetErrorCode', 'int', ['void *']),
  };
}

let loaded: Library | string | undefined;

/** The library, or one line that says why there is none. */
function load(): Library | string {
  if (loaded) return loaded;
  let reason = `libturbojpeg: no prebuilt library for ${process.platform}-${process.arch}`;
  try {
    for (const path of libraryPaths()) {
      try {
        loaded = bind(path);
        return loaded;
      } catch (error) {
        reason = `libturbojpeg: ${path} does not load: ${messageOf(error)}`;
      }
    }
  } catch (error) {
    reason = `libturbojpeg: ${messageOf(error)}`;
  }
  loaded = reason;
  return reason;
}

/** Why libturbojpeg cannot be used here, or undefined where it can. */
export function turboJpegUnavailable(): string | undefined {
  const library = load();
  return typeof library === 'string' ? library : undefined;
}

const scaled = (length: number, denominator: number) => Math.ceil(length / denominator); // TJSCALED

/**
 * One decompressor: a handle and one buffer that grows to the largest picture. Results are views of that
 * buffer, good until the next call; with `reserve` they lie in its memory instead. `close` frees the handle.
 */
export class TurboJpegDecoder {
  readonly #library: Library;
  #handle: Handle;
  #buffer = new Uint8Array(0);
  readonly #reserve: Reserve;

  constructor(reserve?: Reserve) {
    this.#reserve = reserve ?? ((length) => this.#own(length));
    const library = load();
    if (typeof library === 'string') throw new Error(library);
    this.#library = library;
    this.#handle = library.init(TJINIT_DECOMPRESS);
    if (!this.#handle) throw new Error('libturbojpeg: tj3Init returned no handle');
  }

  close(): void {
    if (this.#handle) this.#library.destroy(this.#handle);
    this.#handle = null;
  }

  /**
   * Decodes `region` (pixels of the whole picture) and `margin` pixels around it, halved up to three times as
   * long as the region stays at least as large as `target`. Lossless JPEG is decoded whole: there are no blocks.
   */
  decodeRegion(
    bytes: Uint8Array,
    { unitWidth, process }: JpegHeader,
    region: Region,
    target: Size,
    margin: number,
  ): DecodedRegion {
    const { size, subsampling, cmyk } = this.#readHeader(bytes);
    const isLossless = process === 3;
    const scales = isLossless ? [] : scaleDenominators;
    const denominator =
      scales.find((d) => region.width >= target.width * d && region.height >= target.height * d) ?? 1;
    this.#check(this.#library.scale(this.#handle, { num: 1, denom: denominator }));
    const fullWidth = scaled(size.width, denominator);
    const fullHeight = scaled(size.height, denominator);
    // x: fullWidth = ceil(width / d), while sample centres follow the exact ratio 1 / d.
    const box = {
      left: region.left / denominator,
      top: region.top / denominator,
      width: region.width / denominator,
      height: region.height / denominator,
    };

    // One more pixel each side: chroma is interpolated from its neighbours, which must lie in the crop too.
    const around = Math.ceil(margin / denominator) + 1;
    const right = Math.min(fullWidth, Math.ceil(box.left + box.width) + around);
    const bottom = Math.min(fullHeight, Math.ceil(box.top + box.height) + around);
    let left = Math.max(0, Math.floor(box.left) - around);
    let top = Math.max(0, Math.floor(box.top) - around);
    // Not tjMCUWidth: files whose components all have a factor of 2 count as 4:4:4 there, but have wider units.
    const croppable = subsampling !== TJSAMP_UNKNOWN && !isLossless;
    if (!croppable) {
      // An unusual subsampling (TJSAMP_UNKNOWN) can be decoded but not cropped.
      left = 0;
      top = 0;
      this.#setCrop(0, 0, 0, 0);
    } else {
      left -= left % Math.ceil(unitWidth / denominator);
      this.#setCrop(left, top, right - left, bottom - top);
    }
    const width = croppable ? right - left : fullWidth;
    const height = croppable ? bottom - top : fullHeight;
    const pixels = this.#decompress(bytes, width, height, cmyk);
    return { ...pixels, box: { ...box, left: box.left - left, top: box.top - top } };
  }

  #readHeader(bytes: Uint8Array): { size: Size; subsampling: number; cmyk: boolean } {
    const library = this.#library;
    this.#check(library.header(this.#handle, bytes, bytes.length));
    const width = library.get(this.#handle, TJPARAM_JPEGWIDTH);
    const height = library.get(this.#handle, TJPARAM_JPEGHEIGHT);
    const colorSpace = library.get(this.#handle, TJPARAM_COLORSPACE);
    return {
      size: { width, height },
      subsampling: library.get(this.#handle, TJPARAM_SUBSAMP),
      cmyk: colorSpace === TJCS_CMYK || colorSpace === TJCS_YCCK,
    };
  }

  #setCrop(x: number, y: number, w: number, h: number): void {
    this.#check(this.#library.crop(this.#handle, { x, y, w, h }));
  }

  #decompress(bytes: Uint8Array, width: number, height: number, cmyk: boolean): Pixels {
    const channels = cmyk ? 4 : 3;
    const data = this.#reserve(width * height * channels);
    const format = cmyk ? TJPF_CMYK : TJPF_RGB;
    this.#check(this.#library.decompress(this.#handle, bytes, bytes.length, data, width * channels, format));
    if (cmyk) cmykToRgb(data, width * height);
    return { data: data.subarray(0, width * height * 3), width, height };
  }

  #own(length: number): Uint8Array {
    if (this.#buffer.length < length) this.#buffer = new Uint8Array(length);
    return this.#buffer.subarray(0, length);
  }

  /** Warnings fail too where they mean missing data; others (stray bytes, say) leave a whole picture. */
  #check(status: number): void {
    if (status === 0) return;
    const text = this.#library.errorText(this.#handle);
    const warning = this.#library.errorCode(this.#handle) === TJERR_WARNING;
    if (/premature end/i.test(text)) throw new ImageError(`truncated JPEG: ${text}`);
    if (!warning) throw new ImageError(`damaged JPEG: ${text}`);
  }
}

/**
 * In place: files of Adobe's kind store 255 − ink, so that R = C·K / 255, as Pillow's convert('RGB') has it.
 */
export function cmykToRgb(data: Uint8Array, pixelCount: number): void {
  for (let pixel = 0; pixel < pixelCount; pixel++) {
    const key = data[pixel * 4 + 3]!;
    data[pixel * 3] = Math.round((data[pixel * 4]! * key) / 255);
    data[pixel * 3 + 1] = Math.round((data[pixel * 4 + 1]! * key) / 255);
    data[pixel * 3 + 2] = Math.round((data[pixel * 4 + 2]! * key) / 255);
  }
}
