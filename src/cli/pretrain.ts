import { describePretraining, preparePretraining, pretrain } from '../jobs/pretrain.js';
import { openTrainImages } from '../jobs/run-images.js';
import type { RunResult } from '../train/observer.js';
import type { PretrainOptions } from '../train/options.js';
import { noteThreads } from './common-flags.js';
import { type PretrainArguments, pretrainFlags, pretrainOptions } from './pretrain-flags.js';
import { note } from './print.js';
import { printPlan, trainAtTerminal } from './train.js';

export const options = pretrainFlags;

export async function run(argv: PretrainArguments): Promise<void> {
  const given = pretrainOptions(argv);
  noteThreads(given.threads);
  if (argv.dryRun) await dryRun(given);
  else await runPretraining(given);
}

/** Trains before the eyes of a person. */
export function runPretraining(given: PretrainOptions): Promise<RunResult> {
  return trainAtTerminal((terminal) => pretrain(given, terminal));
}

/** What `--dry-run` prints. */
async function dryRun(given: PretrainOptions): Promise<void> {
  const prepared = await preparePretraining(given);
  const images = await openTrainImages(prepared.options, note);
  printPlan(prepared, images, describePretraining(prepared));
}
