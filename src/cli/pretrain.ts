import { describePlan } from '../jobs/describe-plan.js';
import { checkMemory } from '../jobs/memory-estimate.js';
import { describePretraining, preparePretraining, pretrain } from '../jobs/pretrain.js';
import { openTrainImages } from '../jobs/run-images.js';
import type { RunResult } from '../train/observer.js';
import { ConsoleReporter } from '../train/observers/console.js';
import type { PretrainOptions } from '../train/options.js';
import { planRun } from '../train/plan.js';
import { noteThreads } from './common-flags.js';
import { type PretrainArguments, pretrainFlags, pretrainOptions } from './pretrain-flags.js';
import { note, print } from './print.js';
import { StopSignal } from './stop-signal.js';

export const options = pretrainFlags;

export async function run(argv: PretrainArguments): Promise<void> {
  const given = pretrainOptions(argv);
  noteThreads(given.threads);
  if (argv.dryRun) await printPlan(given);
  else await runPretraining(given);
}

/** Trains before the eyes of a person. A signal ends it after the step, with the exit code that belongs to it. */
export async function runPretraining(given: PretrainOptions): Promise<RunResult> {
  const stop: StopSignal = new StopSignal((line) => reporter.note(line));
  const reporter = new ConsoleReporter(() => stop.received);
  try {
    return await pretrain(given, {
      observer: reporter,
      note: (line) => reporter.note(line),
      shouldStop: () => stop.received !== undefined,
    });
  } finally {
    reporter.close();
    stop.off();
  }
}

/** What `--dry-run` prints. */
async function printPlan(given: PretrainOptions): Promise<void> {
  const prepared = await preparePretraining(given);
  const { options, device, artifacts } = prepared;
  const images = await openTrainImages(options, note);
  const available = device.readMemory();
  const plan = planRun(options, images.length);
  const rows = describePlan(prepared, plan, images, available, describePretraining(prepared));
  for (const [name, value] of rows) print(`${name.padEnd(12)}${value}`);
  checkMemory(artifacts.manifest, options, device, available);
}
