import { UserError } from '../util/errors.js';
import { imageSize, type ModelConfig, patchCount } from './config.js';
import type { BatchInput } from './task.js';

/** What the manifest says of a Masked Autoencoder. */
export type MaeOptions = {
  readonly maskRatio: number;
  /** L and K. */
  readonly patches: number;
  readonly kept: number;
  /** How many of the L − K removed patches training predicts, where those are not all. */
  readonly predicted?: number;
  readonly normPixLoss: boolean;
};

export function maeMetadata({ maskRatio, normPixLoss }: Pick<MaeOptions, 'maskRatio' | 'normPixLoss'>) {
  return { mask_ratio: String(maskRatio), norm_pix_loss: String(normPixLoss) };
}

/** The images of a batch, as an encoder reads them. */
export function imageInputs(config: ModelConfig, batchSize: number): readonly BatchInput[] {
  const { height, width } = imageSize(config);
  return [{ name: 'images', type: 'uint8', shape: [batchSize, height, width, 3], content: 'pixels' }];
}

/** `ids_shuffle`: a random permutation of the patches for each image; the first K stay visible. */
export function maeInputs(config: ModelConfig, batchSize: number): readonly BatchInput[] {
  const ids = [batchSize, patchCount(config)];
  return [
    ...imageInputs(config, batchSize),
    { name: 'ids_shuffle', type: 'int64', shape: ids, content: 'permutation' },
  ];
}

/** K, the number of patches the encoder sees: ⌊L·(1 − maskRatio)⌋, as the paper's code counts. */
export function keptCount(config: ModelConfig, maskRatio: number): number {
  return Math.floor(patchCount(config) * (1 - maskRatio));
}

/** The number of `removed` patches that are predicted: the nearest whole number, at least one. */
export function predictedCount(removed: number, predictRatio: number): number {
  return Math.max(1, Math.round(predictRatio * removed));
}

/** K for a mask ratio; a UserError unless some patches stay and some are removed. */
export function checkedKeptCount(config: ModelConfig, maskRatio: number): number {
  const kept = keptCount(config, maskRatio);
  const patches = patchCount(config);
  if (!(kept >= 1 && kept < patches)) {
    throw new UserError(
      `--mask-ratio: expected a share that keeps and removes at least one of ${patches} patches, got ${maskRatio}`,
    );
  }
  return kept;
}

/** How many removed patches are predicted at a ratio; a UserError unless it is above 0 and at most 1. */
export function checkedPredictedCount(config: ModelConfig, kept: number, predictRatio = 1): number {
  if (!(predictRatio > 0 && predictRatio <= 1)) {
    throw new UserError(`--predict-ratio: expected a number above 0 and at most 1, got ${predictRatio}`);
  }
  return predictedCount(patchCount(config) - kept, predictRatio);
}
