import { preparePretraining, pretrain, pretrainJob } from '../jobs/pretrain.js';
import type { GivenPretrainOptions } from '../jobs/pretrain-recipe.js';
import type { RunResult } from '../train/observer.js';
import { noteThreads } from './common-flags.js';
import { type PretrainArguments, pretrainFlags, pretrainOptions } from './pretrain-flags.js';
import { type LogFormat, printPlan, trainAtTerminal } from './train.js';

export const options = pretrainFlags;

export async function run(argv: PretrainArguments): Promise<void> {
  const given = pretrainOptions(argv);
  noteThreads(given.threads);
  if (argv.dryRun) await dryRun(given);
  else await runPretraining(given, argv.logFormat);
}

/** Trains before the eyes of a person. */
export function runPretraining(given: GivenPretrainOptions, logFormat?: LogFormat): Promise<RunResult> {
  return trainAtTerminal((terminal) => pretrain(given, terminal), logFormat);
}

/** What `--dry-run` prints. */
async function dryRun(given: GivenPretrainOptions): Promise<void> {
  const prepared = await preparePretraining(given);
  await printPlan(pretrainJob(prepared));
}
