import type { Options } from 'yargs';
import { checkpointFlag, encoderHeadsFlag } from './common-flags.js';
import { choice, number } from './flags.js';
import { pretrainFlags } from './pretrain-flags.js';

const { 'data-path': dataPath, 'val-path': valPath, seed } = pretrainFlags;
const { demandOption: _, ...optionalCheckpoint } = checkpointFlag;

/** A flag whose default a recipe, or the model, says. */
export function numberFlag<D extends string>(flag: string, range: Parameters<typeof number>[1], describe: D) {
  return { coerce: number(flag, range), requiresArg: true, describe } as const;
}

/** Flags of commands that train a classifier, beside those that have other defaults in each. */
export const classifierFlags = {
  checkpoint: {
    ...optionalCheckpoint,
    describe: 'Encoder to start from: run, checkpoint or transformers directory, .safetensors or .pth file',
  },
  ...encoderHeadsFlag,
  'data-path': { ...dataPath, describe: 'Folder of training images in class folders' },
  'val-path': {
    ...valPath,
    describe: 'Folder of images in the same class folders, for the accuracy after each epoch',
  },
  rescan: pretrainFlags.rescan,
  'output-dir': pretrainFlags['output-dir'],
  'input-size': pretrainFlags['input-size'],
  'accum-iter': pretrainFlags['accum-iter'],
  'auto-batch': pretrainFlags['auto-batch'],
  'time-budget': pretrainFlags['time-budget'],
  'max-steps': pretrainFlags['max-steps'],
  'warmup-epochs': {
    ...pretrainFlags['warmup-epochs'],
    defaultDescription: 'the recipe’s share of the epochs',
  },
  lr: pretrainFlags.lr,
  'clip-grad': pretrainFlags['clip-grad'],
  'eval-crop': numberFlag(
    'eval-crop',
    { min: 0, max: 1, open: 'min' },
    'Share of the shorter side that evaluation sees the middle of (default: 0.875 up to 224 pixels, 1 above)',
  ),
  'exif-rotation': pretrainFlags['exif-rotation'],
  seed: { ...seed, describe: 'Seed of weights, order and augmentation' },
  'num-workers': pretrainFlags['num-workers'],
  threads: pretrainFlags.threads,
  resume: pretrainFlags.resume,
  'save-every': pretrainFlags['save-every'],
  'save-every-steps': pretrainFlags['save-every-steps'],
  keep: { ...pretrainFlags.keep, describe: 'Checkpoints that stay, beside the best one' },
  'log-every': pretrainFlags['log-every'],
  'max-bad-steps': pretrainFlags['max-bad-steps'],
  tensorboard: pretrainFlags.tensorboard,
  device: pretrainFlags.device,
  precision: pretrainFlags.precision,
  kernels: pretrainFlags.kernels,
} as const satisfies Record<string, Options>;

/** Those with defaults of the command's own. */
export function recipeFlags<
  const D extends { batchSize: number; pool: string; cropScale: number; minLr: number; weightDecay: number },
>(defaults: D) {
  return {
    'batch-size': { ...pretrainFlags['batch-size'], default: defaults.batchSize },
    pool: {
      type: 'string',
      default: defaults.pool,
      coerce: choice('pool', ['mean', 'cls'] as const),
      requiresArg: true,
      describe: 'What the head reads: mean of the patch tokens, or the class token',
    },
    'crop-scale': {
      ...pretrainFlags['crop-scale'],
      default: defaults.cropScale,
      defaultDescription: undefined,
    },
    'min-lr': { ...pretrainFlags['min-lr'], default: defaults.minLr },
    'weight-decay': { ...pretrainFlags['weight-decay'], default: defaults.weightDecay },
  } as const;
}

export function epochsFlag<D extends string>(defaultDescription: D) {
  return {
    defaultDescription,
    coerce: pretrainFlags.epochs.coerce,
    requiresArg: true,
    describe: pretrainFlags.epochs.describe,
  } as const;
}
