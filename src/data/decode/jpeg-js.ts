import jpeg from 'jpeg-js';
import { messageOf } from '../../util/errors.js';
import type { JpegHeader } from './jpeg-markers.js';
import { ImageError, maxPixels, type Pixels } from './pixels.js';

/** The portable decoder of baseline and progressive JPEG: slow (22 ms where libturbojpeg takes 1), all JavaScript. */
export function decodeWithJpegJs(bytes: Uint8Array, { process }: JpegHeader): Pixels {
  if (process > 2) {
    const kind = process === 3 ? 'lossless' : 'arithmetic-coded';
    throw new ImageError(
      `${kind} JPEG (SOF${process}) needs libturbojpeg or sharp, which do not run here: save it as ordinary JPEG or PNG`,
    );
  }
  try {
    const { data, width, height } = jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      maxResolutionInMP: maxPixels / 1e6,
      maxMemoryUsageInMB: 4096,
    });
    return { data, width, height };
  } catch (error) {
    throw new ImageError(`damaged JPEG: ${messageOf(error)}`);
  }
}
