import { ValidationLoader } from '../data/loader.js';
import type { ImageFolder } from '../data/sources/image-folder.js';
import { imageSize } from '../model/config.js';
import type { Evaluator } from './engine/evaluator.js';
import type { ModelState } from './engine/model-state.js';

export interface ValidationResult {
  /** Mean over the readable images. */
  readonly loss: number;
  readonly images: number;
  readonly skippedImages: number;
}

/** The loss over a folder: the middle of each image, with one permutation that belongs to the image for good. */
export async function validate(
  evaluator: Evaluator,
  state: ModelState,
  folder: ImageFolder,
  { seed, numWorkers }: { seed: number; numWorkers: number },
): Promise<ValidationResult> {
  const { batchSize, patches, model } = state.manifest;
  const loader = new ValidationLoader({
    folder,
    batchSize,
    ...imageSize(model),
    patchCount: patches,
    seed,
    numWorkers,
  });
  let sum = 0;
  let images = 0;
  let skippedImages = 0;
  try {
    for (let batch = await loader.next(); batch !== undefined; batch = await loader.next()) {
      evaluator.images.set(batch.images);
      evaluator.idsShuffle.set(batch.idsShuffle);
      await evaluator.run();
      for (let i = 0; i < batch.count; i++) sum += evaluator.imageLoss[i]!;
      images += batch.count;
      skippedImages += batch.skipped.length;
      batch.release();
    }
  } finally {
    await loader.close();
  }
  return { loss: sum / images, images, skippedImages };
}
