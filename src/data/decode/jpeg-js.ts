import jpeg from 'jpeg-js';
import { messageOf } from '../../util/errors.js';
import { ImageError, maxPixels, type Pixels } from './pixels.js';

/** The portable decoder of baseline and progressive JPEG: slow (22 ms where libturbojpeg takes 1), all JavaScript. */
export function decodeWithJpegJs(bytes: Uint8Array): Pixels {
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
