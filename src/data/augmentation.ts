import { imageSize, type ModelConfig } from '../model/config.js';
import type { CropOptions } from './augment/crop.js';
import type { MixOptions } from './augment/mix.js';

export type { MixOptions } from './augment/mix.js';

/** What the loader does to images of training, and how it cuts those of validation out. Plain data: workers get it. */
export interface Augmentation {
  readonly crop: CropOptions;
  readonly flipProbability: number;
  /** A policy in timm's words, such as `rand-m9-mstd0.5-inc1`. */
  readonly randAugment?: string | undefined;
  /** Random erasing after normalisation, by noise pixel by pixel; its probability. */
  readonly erasing?: number | undefined;
  readonly mix?: MixOptions | undefined;
  /** Probability of each block that one of its residuals is dropped. */
  readonly dropPath?: readonly number[] | undefined;
  /** Side of the middle that validation cuts out, as a share of the shorter side: 0.875 is 224 of 256. */
  readonly evaluationCrop: number;
}

/** Of the published pretraining recipe. */
export const pretrainAugmentation: Augmentation = {
  crop: { scale: [0.2, 1], ratio: [3 / 4, 4 / 3] },
  flipProbability: 0.5,
  evaluationCrop: 1,
};

/** What evaluation of the published classifiers cuts out: 224 of 256 pixels, and all of the middle above that. */
export function publishedEvaluationCrop(config: ModelConfig): number {
  const { height, width } = imageSize(config);
  return Math.max(height, width) > 224 ? 1 : 0.875;
}
