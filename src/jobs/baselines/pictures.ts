import type { ImageSource } from '../../data/sources/source.js';
import type { BatchInput } from '../../model/task.js';
import { collectRows, type FeatureOptions, type FeatureProgress, type FeatureTable } from '../features.js';

type Options = Pick<FeatureOptions, 'batchSize' | 'numWorkers' | 'exifRotation'>;

/** A batch of the middles of images at one size: `images` uint8 [B, side, side, 3]. */
export function pictureInputs(side: number, batchSize: number): readonly BatchInput[] {
  return [{ name: 'images', type: 'uint8', shape: [batchSize, side, side, 3], content: 'pixels' }];
}

/** The middle of each image at side × side, in bytes from 0 to 255: [N, side·side·3]. */
export async function pixelTable(
  source: ImageSource,
  side: number,
  options: Options,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<FeatureTable> {
  const batchSize = Math.min(options.batchSize, source.length);
  const { pixels } = await collectRows(
    source,
    {
      inputs: pictureInputs(side, batchSize),
      shapes: { pixels: [side * side * 3] },
      compute: async ({ inputs }) => ({ pixels: Float32Array.from(inputs['images'] as Uint8Array) }),
    },
    options,
    progress,
    note,
  );
  return pixels;
}
