import type { Options } from 'yargs';
import { type GivenLinprobeOptions, linprobe, linprobeJob, prepareLinprobe } from '../jobs/linprobe.js';
import { linprobeDefaults as defaults } from '../train/options.js';
import { classifierFlags, epochsFlag, recipeFlags } from './classifier-flags.js';
import { noteThreads } from './common-flags.js';
import { configFlag, givenOptions } from './config-flag.js';
import { type Arguments, number } from './flags.js';
import { consoleFlags } from './pretrain-flags.js';
import { note } from './print.js';
import { printPlan, trainAtTerminal } from './train.js';

const ownFlags = {
  ...classifierFlags,
  ...recipeFlags(defaults),
  epochs: epochsFlag(String(defaults.epochs)),
  blr: {
    defaultDescription: `${defaults.blr} above 16384 images a step, lr 6.4 up to that`,
    coerce: number('blr', { min: 0 }),
    requiresArg: true,
    describe: 'Learning rate of LARS for 256 images: lr = blr × effective batch size / 256',
  },
} as const satisfies Record<string, Options>;

export const options = {
  ...ownFlags,
  config: configFlag('linprobe', { ...ownFlags, ...consoleFlags }),
  ...consoleFlags,
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const given = givenOptions(argv, options) as unknown as GivenLinprobeOptions;
  noteThreads(argv.threads);
  if (!argv.dryRun) {
    await trainAtTerminal((terminal) => linprobe(given, terminal), argv.logFormat);
    return;
  }
  const classifier = await prepareLinprobe(given, note);
  await printPlan(linprobeJob(classifier));
}
