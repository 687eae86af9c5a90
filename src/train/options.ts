import type { ModelConfig } from '../model/config.js';
import type { Precision } from '../runtime/device-precisions.js';
import { usableCores } from '../util/cores.js';

/** Everything that `mae pretrain` can be told. A flag is the kebab-case of its field. */
export interface PretrainOptions {
  dataPath: string;
  /** Whether the folders of images are read although an index of them is kept. */
  rescan: boolean;
  outputDir: string;
  /** A preset's name or the path of a JSON file. */
  model: string;
  /** Pixels, or height and width; the model's own where not given. */
  inputSize?: ModelConfig['inputSize'];
  batchSize: number;
  /** Micro-batches in a step: the effective batch size is batchSize · accumIter. */
  accumIter: number;
  /** Whether batchSize and accumIter are divided anew, to the largest micro-batch that fits; their product stays. */
  autoBatch: boolean;
  epochs: number;
  /** Ends the run early, at this many steps in all. */
  maxSteps?: number;
  warmupEpochs: number;
  /** Learning rate for an effective batch size of 256. */
  blr: number;
  /** The learning rate itself; wins over blr. */
  lr?: number;
  minLr: number;
  weightDecay: number;
  maskRatio: number;
  /** Share of the removed patches that the decoder predicts in training; validation predicts all. */
  predictRatio: number;
  normPixLoss: boolean;
  /** Whether a step keeps only the input of each transformer block and computes the rest again: less memory. */
  gradCheckpointing: boolean;
  /** Largest norm of the gradient; not clipped where not given. */
  clipGrad?: number;
  /** Whether images are turned upright by their EXIF data; decided when the run starts: see `resolveExifRotation`. */
  exifRotation?: boolean;
  seed: number;
  numWorkers: number;
  /** Threads of ONNX Runtime; 0 stands for one a core. */
  threads: number;
  /** `auto`, `never`, or the path of a checkpoint. */
  resume: string;
  /** A checkpoint whose weights the run starts from. */
  init?: string;
  valPath?: string;
  /** Epochs between checkpoints. */
  saveEvery: number;
  /** Steps between checkpoints, beside those of saveEvery. */
  saveEverySteps?: number;
  /** How many checkpoints stay. */
  keep: number;
  /** Steps between lines of the log. */
  logEvery: number;
  /** Steps in a row without a finite loss and gradient that end the run. */
  maxBadSteps: number;
  device: string;
  precision: Precision;
  /** Whether to use the kernels of `src/kernels` where they were built. */
  kernels: boolean;
}

/** The published recipe, and the defaults of what it does not say. */
export const pretrainDefaults = {
  rescan: false,
  model: 'mae_vit_large_patch16',
  batchSize: 64,
  accumIter: 1,
  autoBatch: false,
  epochs: 800,
  warmupEpochs: 40,
  blr: 1.5e-4,
  minLr: 0,
  weightDecay: 0.05,
  maskRatio: 0.75,
  predictRatio: 1,
  normPixLoss: true,
  gradCheckpointing: false,
  seed: 0,
  numWorkers: Math.min(8, usableCores()),
  threads: 0,
  resume: 'auto',
  saveEvery: 1,
  keep: 3,
  logEvery: 10,
  maxBadSteps: 10,
  device: 'cpu',
  precision: 'auto',
  kernels: true,
} as const satisfies Partial<PretrainOptions>;

/** The recipe's warm-up, or its share of 800 epochs where the run is shorter than the warm-up. */
export function defaultWarmupEpochs(epochs: number): number {
  const { warmupEpochs, epochs: published } = pretrainDefaults;
  return epochs >= warmupEpochs ? warmupEpochs : (epochs * warmupEpochs) / published;
}

/**
 * Whether an option changes what a run computes: one that does not may be another when the run is resumed. Of an option
 * that version 0.1.0 did not have, `earlier` is what runs without it computed.
 */
export const changesResult: {
  readonly [K in keyof Required<PretrainOptions>]: boolean | { readonly earlier: PretrainOptions[K] };
} = {
  dataPath: false, // the images themselves are compared
  rescan: false,
  outputDir: false,
  model: false, // its sizes are compared
  inputSize: true,
  batchSize: true,
  accumIter: true,
  autoBatch: false,
  epochs: true,
  maxSteps: false,
  warmupEpochs: true,
  blr: true,
  lr: true,
  minLr: true,
  weightDecay: true,
  maskRatio: true,
  predictRatio: { earlier: 1 },
  normPixLoss: true,
  gradCheckpointing: false,
  clipGrad: true,
  exifRotation: { earlier: false },
  seed: true,
  numWorkers: false,
  threads: false,
  resume: false,
  init: true,
  valPath: false,
  saveEvery: false,
  saveEverySteps: false,
  keep: false,
  logEvery: false,
  maxBadSteps: false,
  device: false,
  precision: true,
  kernels: false,
};
