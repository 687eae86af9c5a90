import { readFile } from 'node:fs/promises';
import { messageOf, UserError } from '../util/errors.js';
import { centerCropBox, squash } from './augment.js';
import { ImageDecoder } from './decode/decode.js';
import { applyOrientation, isUnreadable } from './decode/pixels.js';
import { BicubicResampler } from './resample.js';

/** 'crop' keeps the aspect and cuts the middle out; 'squash' fits the whole picture in. */
export type Fit = 'crop' | 'squash';

export interface LoadImageOptions {
  height: number;
  width: number;
  fit: Fit;
}

/** One JPEG, PNG, WebP or TIFF file as [height, width, 3], turned upright as its EXIF data says. */
export async function loadImage(path: string, { height, width, fit }: LoadImageOptions): Promise<Uint8Array> {
  const decoder = new ImageDecoder();
  try {
    const bytes = await readFile(path);
    const orientation = await decoder.orientation(bytes);
    const picture = applyOrientation(await decoder.decode(bytes), orientation);
    const box = fit === 'crop' ? centerCropBox(picture, { height, width }) : squash(picture);
    const out = new Uint8Array(height * width * 3);
    new BicubicResampler().resample(picture, box, out, height, width);
    return out;
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    throw new UserError(
      `image: expected a readable JPEG, PNG, WebP or TIFF file, got ${path}: ${messageOf(error)}; pass another file`,
    );
  } finally {
    decoder.close();
  }
}
