import type { Options } from 'yargs';
import { type GivenPretrainOptions, pretrainRecipes } from '../jobs/pretrain-recipe.js';
import { pretrainDefaults as defaults } from '../train/options.js';
import {
  computeFlags,
  deviceFlag,
  exifRotationFlag,
  numWorkersFlag,
  rescanFlag,
  threadsFlag,
} from './common-flags.js';
import { configFlag, givenOptions } from './config-flag.js';
import { type Arguments, choice, duration, integer, number, text } from './flags.js';
import { modelFlags } from './model-flags.js';

const ownFlags = {
  'data-path': {
    type: 'string',
    demandOption: true,
    coerce: text('data-path'),
    requiresArg: true,
    describe: 'Folder of training images, with or without class sub-folders',
  },
  rescan: rescanFlag,
  'output-dir': {
    type: 'string',
    demandOption: true,
    coerce: text('output-dir'),
    requiresArg: true,
    describe: 'Run directory: log, artefacts and checkpoints',
  },
  ...modelFlags,
  'auto-batch': {
    type: 'boolean',
    default: defaults.autoBatch,
    describe: 'Take the largest --batch-size that fits, with the --accum-iter that keeps their product',
  },
  recipe: {
    type: 'string',
    defaultDescription: 'auto',
    coerce: choice('recipe', pretrainRecipes()),
    requiresArg: true,
    describe:
      'Where learning rate, epochs and warm-up come from that are not given. published: the paper’s, for large batches; small: for small models and folders; auto: small for encoders below 10 M parameters, else published; a run that goes on keeps its own',
  },
  epochs: {
    defaultDescription: `the recipe’s; published: ${defaults.epochs}`,
    coerce: number('epochs', { min: 0, open: true }),
    requiresArg: true,
    describe: 'Epochs of the schedule; of a fraction the last one is a part',
  },
  'time-budget': {
    type: 'string',
    coerce: duration('time-budget'),
    requiresArg: true,
    describe:
      'Time for the whole run, such as 30m, 1h30m or 1d, instead of --epochs: some steps are tried out first, and epochs and warm-up chosen so that the schedule ends then',
  },
  'max-steps': {
    coerce: integer('max-steps', { min: 1 }),
    requiresArg: true,
    describe: 'End early, at this many steps in all',
  },
  'warmup-epochs': {
    defaultDescription: `the recipe’s; published: ${defaults.warmupEpochs}, or a twentieth of fewer epochs`,
    coerce: number('warmup-epochs', { min: 0 }),
    requiresArg: true,
    describe: 'Epochs of linear warm-up',
  },
  blr: {
    defaultDescription: `the recipe’s; published: ${defaults.blr}`,
    coerce: number('blr', { min: 0 }),
    requiresArg: true,
    describe: 'Learning rate for 256 images: lr = blr × effective batch size / 256',
  },
  lr: {
    coerce: number('lr', { min: 0 }),
    requiresArg: true,
    describe: 'Learning rate itself; wins over --blr',
  },
  'min-lr': {
    default: defaults.minLr,
    coerce: number('min-lr', { min: 0 }),
    requiresArg: true,
    describe: 'Learning rate at the end',
  },
  'weight-decay': {
    default: defaults.weightDecay,
    coerce: number('weight-decay', { min: 0 }),
    requiresArg: true,
    describe: 'Decoupled weight decay (matrices and tokens only)',
  },
  'clip-grad': {
    coerce: number('clip-grad', { min: 0, open: true }),
    requiresArg: true,
    describe: 'Largest norm of the gradient (default: not clipped)',
  },
  'crop-scale': {
    coerce: number('crop-scale', { min: 0, max: 1, open: 'min' }),
    requiresArg: true,
    defaultDescription: `the recipe’s; published: ${defaults.cropScale}`,
    describe: 'Smallest share of a picture that a crop of training has',
  },
  'exif-rotation': exifRotationFlag('true; a run that goes on keeps its own'),
  seed: {
    default: defaults.seed,
    coerce: integer('seed', { min: 0 }),
    requiresArg: true,
    describe: 'Seed of weights, order, crops and masks',
  },
  'num-workers': numWorkersFlag,
  threads: threadsFlag,
  resume: {
    type: 'string',
    default: defaults.resume,
    coerce: text('resume'),
    requiresArg: true,
    describe: 'auto: continue the run of --output-dir; never; or a checkpoint to continue from',
  },
  init: {
    type: 'string',
    coerce: text('init'),
    requiresArg: true,
    describe:
      'Start from the weights of a run, checkpoint or transformers directory, .safetensors or .pth file',
  },
  'val-path': {
    type: 'string',
    coerce: text('val-path'),
    requiresArg: true,
    describe: 'Folder of images for the loss after each epoch',
  },
  'probe-path': {
    type: 'string',
    coerce: text('probe-path'),
    requiresArg: true,
    describe:
      'Class folders of images that judge the encoder while it learns: kNN and logistic regression learn from these',
  },
  'probe-val-path': {
    type: 'string',
    coerce: text('probe-val-path'),
    requiresArg: true,
    describe: 'Class folders of other images, by which --probe-path is judged',
  },
  'probe-every': {
    default: defaults.probeEvery,
    coerce: integer('probe-every', { min: 1 }),
    requiresArg: true,
    describe: 'Epochs between probes; there is one after the last epoch, too',
  },
  'keep-best': {
    type: 'string',
    coerce: choice('keep-best', ['probe', 'val']),
    requiresArg: true,
    describe:
      'Keep the best checkpoint beside the newest: by the logistic regression of probes (checkpoints/best-probe) or the validation loss (checkpoints/best-val)',
  },
  'pictures-every': {
    defaultDescription: 'about twenty sheets in the run, at most one an epoch',
    coerce: integer('pictures-every', { min: 0 }),
    requiresArg: true,
    describe:
      'Epochs between sheets of reconstructions (pictures/epoch-….png), of eight pictures of --val-path under masks that stay; 0 for none',
  },
  'save-every': {
    default: defaults.saveEvery,
    coerce: integer('save-every', { min: 1 }),
    requiresArg: true,
    describe: 'Epochs between checkpoints',
  },
  'save-every-steps': {
    coerce: integer('save-every-steps', { min: 1 }),
    requiresArg: true,
    describe: 'Steps between checkpoints, beside those of --save-every',
  },
  keep: {
    default: defaults.keep,
    coerce: integer('keep', { min: 1 }),
    requiresArg: true,
    describe: 'Checkpoints that stay',
  },
  'log-every': {
    default: defaults.logEvery,
    coerce: integer('log-every', { min: 1 }),
    requiresArg: true,
    describe: 'Steps between lines of log.jsonl',
  },
  // A damaged batch is one bad step. Of ten different ones in a row the weights are the cause, and in a run of
  // hundreds of thousands of steps ten cost nothing to find out.
  'max-bad-steps': {
    default: defaults.maxBadSteps,
    coerce: integer('max-bad-steps', { min: 1 }),
    requiresArg: true,
    describe: 'Steps in a row with a NaN or infinite loss or gradient, each skipped, that end the run',
  },
  tensorboard: {
    type: 'boolean',
    default: defaults.tensorboard,
    describe: 'Write event files for TensorBoard beside the log; --no-tensorboard: not',
  },
  device: deviceFlag,
  ...computeFlags,
} as const satisfies Record<string, Options>;

export const dryRunFlag = {
  type: 'boolean',
  default: false,
  describe: 'Print parameters, tokens, memory, steps, schedule and an estimate of the time, and stop',
} as const;

export const logFormatFlag = {
  type: 'string',
  coerce: choice('log-format', ['text', 'json'] as const),
  default: 'text',
  requiresArg: true,
  describe: 'json: the lines of log.jsonl on stdout instead of text',
} as const;

/** Of the command line alone, beside the options of a run. */
export const consoleFlags = { 'log-format': logFormatFlag, 'dry-run': dryRunFlag } as const;

export const pretrainFlags = {
  ...ownFlags,
  config: configFlag('pretrain', { ...ownFlags, ...consoleFlags }),
  ...consoleFlags,
} as const satisfies Record<string, Options>;

export type PretrainArguments = Arguments<typeof pretrainFlags>;

/** The options of a run, without what belongs to the command line alone. */
export function pretrainOptions(argv: PretrainArguments): GivenPretrainOptions {
  return givenOptions(argv, pretrainFlags) as unknown as GivenPretrainOptions;
}
