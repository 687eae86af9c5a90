import type { FinetuneOptions, LinprobeOptions, PretrainOptions, TrainOptions } from './options.js';

/** The commands that train, each with a run directory of its own kind. */
export type TrainCommand = 'pretrain' | 'finetune' | 'linprobe';

/**
 * Whether an option changes what a run computes: one that does not may be another when the run is resumed. Of an option
 * that version 0.1.0 did not have, `earlier` is what runs without it computed.
 */
type Changes<O> = { readonly [K in keyof Required<O>]: boolean | { readonly earlier: O[K] } };

const trainChanges: Changes<TrainOptions> = {
  dataPath: false, // the images themselves are compared
  rescan: false,
  outputDir: false,
  inputSize: true,
  batchSize: true,
  accumIter: true,
  autoBatch: false,
  epochs: true,
  timeBudget: false, // what it decides is compared
  maxSteps: false,
  warmupEpochs: true,
  blr: true,
  lr: true,
  minLr: true,
  weightDecay: true,
  gradCheckpointing: false,
  clipGrad: true,
  exifRotation: { earlier: false },
  seed: true,
  numWorkers: false,
  threads: false,
  resume: false,
  valPath: false,
  saveEvery: false,
  saveEverySteps: false,
  keep: false,
  logEvery: false,
  maxBadSteps: false,
  tensorboard: false,
  device: false,
  precision: true,
  kernels: false,
};

const pretrainChanges: Changes<PretrainOptions> = {
  ...trainChanges,
  model: false, // its sizes are compared
  maskRatio: true,
  predictRatio: { earlier: 1 },
  normPixLoss: true,
  cropScale: { earlier: 0.2 },
  recipe: false, // its options are compared
  init: true,
  probePath: false, // it changes what is told, not what is learnt
  probeValPath: false,
  probeEvery: false,
  keepBest: false,
  picturesEvery: false,
};

const linprobeChanges: Changes<LinprobeOptions> = {
  ...trainChanges,
  checkpoint: true,
  numHeads: false, // the model's sizes are compared
  pool: true,
  cropScale: true,
  evalCrop: false, // of what is told, not of what is learnt
};

const finetuneChanges: Changes<FinetuneOptions> = {
  ...linprobeChanges,
  model: false,
  fromScratch: true,
  recipe: false, // its options are compared
  layerDecay: true,
  dropPath: true,
  mixup: true,
  cutmix: true,
  mixProb: true,
  mixSwitchProb: true,
  smoothing: true,
  randAugment: true,
  randomErasing: true,
  emaDecay: true,
};

/** By the command of a run. */
export const changesResult = {
  pretrain: pretrainChanges,
  finetune: finetuneChanges,
  linprobe: linprobeChanges,
} as const satisfies Readonly<Record<TrainCommand, Changes<TrainOptions>>>;
