import type { ModelConfig } from '../model/config.js';
import { trainDefaults } from '../train/options.js';

/** How the images of a folder go through weights that stay as they are. */
export interface InferenceOptions {
  /** The model's own where not given. */
  readonly inputSize?: ModelConfig['inputSize'] | undefined;
  /** Images at a time. */
  readonly batchSize: number;
  readonly numWorkers: number;
  /** Threads of ONNX Runtime; 0 stands for one a core. */
  readonly threads: number;
  readonly device: string;
  /** Whether images are turned upright by their EXIF data. */
  readonly exifRotation?: boolean | undefined;
}

const { numWorkers, threads, device } = trainDefaults;

export const inferenceDefaults = {
  batchSize: 64,
  numWorkers,
  threads,
  device,
} as const satisfies Partial<InferenceOptions>;
