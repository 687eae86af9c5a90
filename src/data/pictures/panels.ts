import type { ModelConfig } from '../../model/config.js';
import { denormalizePatches, patchifyPixels, unpatchifyPixels, unshuffle } from './pixels.js';

/** One image and what a model predicted for it. */
export interface PredictedImage {
  /** uint8 [H, W, 3] */
  readonly image: Uint8Array;
  /** int64 [L]: the first `kept` patches were visible. */
  readonly idsShuffle: BigInt64Array;
  readonly kept: number;
  /** float32 [L, P], in shuffled order, as the model gives them. */
  readonly pred: Float32Array;
  /** Whether predictions are patches without their mean and deviation. */
  readonly normPixLoss: boolean;
}

/** Four pictures, uint8 [H, W, 3]: original, masked, reconstruction, reconstruction with the visible patches. */
export function reconstructionPanels(
  { image, idsShuffle, kept, pred, normPixLoss }: PredictedImage,
  config: ModelConfig,
): Uint8Array[] {
  const patchLength = 3 * config.patchSize ** 2;
  const truth = patchifyPixels(image, config);
  let predicted = unshuffle(pred, idsShuffle);
  if (normPixLoss) predicted = denormalizePatches(predicted, truth, patchLength);
  const masked = truth.slice();
  const pasted = predicted.slice();
  idsShuffle.forEach((id, place) => {
    const start = Number(id) * patchLength;
    if (place < kept) pasted.set(truth.subarray(start, start + patchLength), start);
    else masked.fill(0, start, start + patchLength); // ImageNet's mean colour
  });
  return [truth, masked, predicted, pasted].map((patches) => unpatchifyPixels(patches, config));
}
