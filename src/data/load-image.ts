import { readFile } from 'node:fs/promises';
import { messageOf, UserError } from '../util/errors.js';
import { centerCropBox, squash } from './augment/crop.js';
import { ImageDecoder } from './decode/decode.js';
import { exifRotationDefault } from './decode/orientation.js';
import { isUnreadable, type PictureNote } from './decode/pixels.js';
import { readableFormats } from './decode/sniff.js';
import { BicubicResampler } from './resample.js';

/** 'crop' keeps the aspect and cuts the middle out; 'squash' fits the whole picture in. */
export type Fit = 'crop' | 'squash';

export interface LoadImageOptions {
  height: number;
  width: number;
  fit: Fit;
  /** Whether to turn it upright as its EXIF data says. */
  exifRotation?: boolean | undefined;
  /** Is told what a person should know of how the picture was read. */
  note?: (note: PictureNote) => void;
}

/** One picture of the `readableFormats` as [height, width, 3]. */
export async function loadImage(path: string, options: LoadImageOptions): Promise<Uint8Array> {
  try {
    return await fitImage(await readFile(path), options);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    throw new UserError(
      `image: expected a readable ${readableFormats} file, got ${path}: ${messageOf(error)}; pass another file`,
    );
  }
}

/** The same of a file's bytes. */
export async function fitImage(
  bytes: Uint8Array,
  { height, width, fit, exifRotation = exifRotationDefault, note }: LoadImageOptions,
): Promise<Uint8Array> {
  const decoder = new ImageDecoder();
  try {
    const picture = await decoder.decode(bytes, exifRotation);
    if (note) for (const each of picture.notes ?? []) note(each);
    const box = fit === 'crop' ? centerCropBox(picture, { height, width }) : squash(picture);
    const out = new Uint8Array(height * width * 3);
    new BicubicResampler().resample(picture, box, out, height, width);
    return out;
  } finally {
    decoder.close();
  }
}
