import { pretrainAugmentation } from '../data/augmentation.js';
import type { ClassifierPool } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import type { Precision } from '../runtime/device-precisions.js';
import { usableCores } from '../util/cores.js';

/** What every command that trains can be told, whatever its task. A flag is the kebab-case of its field. */
export interface TrainOptions {
  dataPath: string;
  /** Whether the folders of images are read although an index of them is kept. */
  rescan: boolean;
  outputDir: string;
  /** Pixels, or height and width; the model's own where not given. */
  inputSize?: ModelConfig['inputSize'];
  batchSize: number;
  /** Micro-batches in a step: the effective batch size is batchSize · accumIter. */
  accumIter: number;
  /** Whether batchSize and accumIter are divided anew, to the largest micro-batch that fits; their product stays. */
  autoBatch: boolean;
  /** May have a fraction: the last one is a part of one then. */
  epochs: number;
  /** Seconds that a run was given to decide its epochs by; `config.json` has it beside the options. */
  timeBudget?: number;
  /** Ends the run early, at this many steps in all. */
  maxSteps?: number;
  warmupEpochs: number;
  /** Learning rate for an effective batch size of 256. */
  blr: number;
  /** The learning rate itself; wins over blr. */
  lr?: number;
  minLr: number;
  weightDecay: number;
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
  /** Whether event files for TensorBoard are written beside the log. */
  tensorboard: boolean;
  device: string;
  precision: Precision;
  /** Whether to use the kernels of `src/kernels` where they were built. */
  kernels: boolean;
}

/** Everything that `mae pretrain` can be told. */
export interface PretrainOptions extends TrainOptions {
  /** A preset's name or the path of a JSON file. */
  model: string;
  maskRatio: number;
  /** Share of the removed patches that the decoder predicts in training; validation predicts all. */
  predictRatio: number;
  normPixLoss: boolean;
  /** Smallest share of a picture that a crop has. */
  cropScale: number;
  /** Where epochs, warm-up and learning rate come from that were not given; not known of earlier versions' runs. */
  recipe?: string;
  /** A checkpoint whose weights the run starts from. */
  init?: string;
  /** Class folders whose images judge the encoder while it learns: those to learn from, and those to tell. */
  probePath?: string;
  probeValPath?: string;
  /** Epochs between probes. */
  probeEvery: number;
  /** By what the best checkpoint is kept beside the newest. */
  keepBest?: 'probe' | 'val';
  /** Epochs between sheets of reconstructions, 0 for none; about twenty in the run where not given. */
  picturesEvery?: number;
}

/** What a classifier is made of: an encoder that was pretrained, or a fresh one. */
export interface ClassifierOptions extends TrainOptions {
  /** The weights of the encoder, and its sizes. */
  checkpoint?: string;
  /** Heads of that encoder, where the file does not say. */
  numHeads?: number;
  /** The token that the head reads: the mean of those of the patches, or the class token. */
  pool: ClassifierPool;
  /** Smallest share of a picture that a crop has. */
  cropScale: number;
  /** Side of the middle that evaluation cuts out, as a share of the shorter side. */
  evalCrop?: number;
}

/** Everything that `mae finetune` can be told. */
export interface FinetuneOptions extends ClassifierOptions {
  /** Sizes of a model from scratch: a preset's name or the path of a JSON file. */
  model?: string;
  /** Whether the encoder starts fresh. */
  fromScratch: boolean;
  /** Where options come from that were not given. */
  recipe: string;
  /** By what the learning rate falls from each block to the one before it. */
  layerDecay: number;
  /** Probability that a residual of the last block is dropped; 0 in the first, and even steps between. */
  dropPath: number;
  /** α of the Beta distributions of mixup and cutmix; 0 for none. */
  mixup: number;
  cutmix: number;
  /** Probabilities that a batch is mixed, and that it is cut where both are possible. */
  mixProb: number;
  mixSwitchProb: number;
  /** Label smoothing: the share of the target that all classes have in equal parts. */
  smoothing: number;
  /** RandAugment in timm's words, such as `rand-m9-mstd0.5-inc1`; or `none`. */
  randAugment: string;
  /** Probability of random erasing. */
  randomErasing: number;
  /** Decay of a moving average of the weights; none is kept where not given. */
  emaDecay?: number;
}

/** Everything that `mae linprobe` can be told. */
export type LinprobeOptions = ClassifierOptions;

/** Defaults of what no recipe says. */
export const trainDefaults = {
  rescan: false,
  accumIter: 1,
  autoBatch: false,
  gradCheckpointing: false,
  seed: 0,
  numWorkers: Math.min(8, usableCores()),
  threads: 0,
  resume: 'auto',
  saveEvery: 1,
  keep: 3,
  logEvery: 10,
  maxBadSteps: 10,
  tensorboard: true,
  device: 'cpu',
  precision: 'auto',
  kernels: true,
} as const satisfies Partial<TrainOptions>;

const { rescan, accumIter, autoBatch, ...otherDefaults } = trainDefaults;

/** The published recipe. The order is that of the options in config.json. */
export const pretrainDefaults = {
  rescan,
  model: 'mae_vit_large_patch16',
  batchSize: 64,
  accumIter,
  autoBatch,
  epochs: 800,
  warmupEpochs: 40,
  blr: 1.5e-4,
  minLr: 0,
  weightDecay: 0.05,
  maskRatio: 0.75,
  predictRatio: 1,
  normPixLoss: true,
  cropScale: pretrainAugmentation.crop.scale[0],
  probeEvery: 10,
  ...otherDefaults,
} as const satisfies Partial<PretrainOptions>;

/** The published recipe, where it is the same for all models, and a batch for small machines. */
export const finetuneDefaults = {
  ...trainDefaults,
  batchSize: 64,
  fromScratch: false,
  pool: 'mean',
  cropScale: 0.08,
  minLr: 1e-6,
  weightDecay: 0.05,
  mixProb: 1,
  mixSwitchProb: 0.5,
} as const satisfies Partial<FinetuneOptions>;

/** The published protocol, and a batch for small machines. */
export const linprobeDefaults = {
  ...trainDefaults,
  batchSize: 128,
  pool: 'cls',
  cropScale: 0.08,
  epochs: 90,
  warmupEpochs: 10,
  blr: 0.1,
  minLr: 0,
  weightDecay: 0,
} as const satisfies Partial<LinprobeOptions>;

/** The recipe's warm-up, or its share of 800 epochs where the run is shorter than the warm-up. */
export function defaultWarmupEpochs(epochs: number): number {
  const { warmupEpochs, epochs: published } = pretrainDefaults;
  return epochs >= warmupEpochs ? warmupEpochs : (epochs * warmupEpochs) / published;
}

/** A recipe's warm-up, as the same share of a run that is shorter. */
export function warmupShare(epochs: number, recipe: { epochs: number; warmupEpochs: number }): number {
  return recipe.warmupEpochs * Math.min(1, epochs / recipe.epochs);
}
