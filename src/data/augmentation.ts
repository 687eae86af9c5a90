import type { CropOptions } from './augment.js';

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

/** Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019) of a whole batch, as timm draws them. */
export interface MixOptions {
  /** α of the Beta distributions; 0 for none. */
  readonly mixup: number;
  readonly cutmix: number;
  /** That a batch is mixed at all, and that it is cut where both are possible. */
  readonly probability: number;
  readonly switchProbability: number;
}
