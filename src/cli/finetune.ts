import type { Options } from 'yargs';
import { finetune, finetuneJob, type GivenFinetuneOptions, prepareFinetuning } from '../jobs/finetune.js';
import { recipeNames } from '../jobs/recipes.js';
import { finetuneDefaults as defaults } from '../train/options.js';
import { classifierFlags, epochsFlag, numberFlag, recipeFlags } from './classifier-flags.js';
import { noteThreads } from './common-flags.js';
import { configFlag, givenOptions } from './config-flag.js';
import { type Arguments, choice, number, text } from './flags.js';
import { consoleFlags } from './pretrain-flags.js';
import { note } from './print.js';
import { printPlan, trainAtTerminal } from './train.js';

const share = { min: 0, max: 1 };

const ownFlags = {
  ...classifierFlags,
  ...recipeFlags(defaults),
  'grad-checkpointing': {
    type: 'boolean',
    default: defaults.gradCheckpointing,
    describe:
      'Keep only the input of each transformer block and compute the rest again: less memory, more time',
  },
  'from-scratch': {
    type: 'boolean',
    default: defaults.fromScratch,
    describe: 'Fresh weights, for comparison: of the sizes of --checkpoint, or of --model',
  },
  model: {
    type: 'string',
    coerce: text('model'),
    describe: 'With --from-scratch: preset of models/, or a JSON file with the same fields',
  },
  recipe: {
    type: 'string',
    coerce: choice('recipe', recipeNames('finetune')),
    requiresArg: true,
    describe: `Where what is not given comes from: ${recipeNames('finetune').join(', ')} (default: by the width of the model)`,
  },
  epochs: epochsFlag('the recipe’s'),
  blr: numberFlag(
    'blr',
    { min: 0 },
    'Learning rate for 256 images, of the recipe: lr = blr × effective batch size / 256',
  ),
  'layer-decay': numberFlag(
    'layer-decay',
    { min: 0, max: 1, open: 'min' },
    'What the learning rate is multiplied by from each layer to the one below (default: the recipe’s)',
  ),
  'drop-path': numberFlag(
    'drop-path',
    { min: 0, max: 0.99 },
    'Probability that a residual of the last block is dropped; in blocks below less (default: the recipe’s)',
  ),
  mixup: numberFlag('mixup', { min: 0, max: 1000 }, 'Beta of mixup; 0 for none (default: the recipe’s)'),
  cutmix: numberFlag('cutmix', { min: 0, max: 1000 }, 'Beta of CutMix; 0 for none (default: the recipe’s)'),
  'mix-prob': {
    default: defaults.mixProb,
    coerce: number('mix-prob', share),
    requiresArg: true,
    describe: 'Probability that a batch is mixed',
  },
  'mix-switch-prob': {
    default: defaults.mixSwitchProb,
    coerce: number('mix-switch-prob', share),
    requiresArg: true,
    describe: 'Probability of CutMix where there is mixup too',
  },
  smoothing: numberFlag('smoothing', { min: 0, max: 0.99 }, 'Label smoothing (default: the recipe’s)'),
  'rand-augment': {
    type: 'string',
    coerce: text('rand-augment'),
    requiresArg: true,
    describe: 'RandAugment in timm’s words, such as rand-m9-mstd0.5-inc1; or none (default: the recipe’s)',
  },
  'random-erasing': numberFlag(
    'random-erasing',
    share,
    'Probability of random erasing (default: the recipe’s)',
  ),
  'ema-decay': numberFlag(
    'ema-decay',
    { min: 0, max: 1, open: true },
    'Decay of a moving average of the weights, such as 0.9999, which is what is validated and used (default: none)',
  ),
} as const satisfies Record<string, Options>;

export const options = {
  ...ownFlags,
  config: configFlag('finetune', { ...ownFlags, ...consoleFlags }),
  ...consoleFlags,
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const given = givenOptions(argv, options) as unknown as GivenFinetuneOptions;
  noteThreads(argv.threads);
  if (!argv.dryRun) {
    await trainAtTerminal((terminal) => finetune(given, terminal), argv.logFormat);
    return;
  }
  const classifier = await prepareFinetuning(given, note);
  await printPlan(finetuneJob(classifier));
}
