/** What the commands that train share: a person at a terminal, and what `--dry-run` prints. */
import type { ImageSource } from '../data/sources/source.js';
import { describePlan, type TaskDescription } from '../jobs/describe-plan.js';
import { checkMemory } from '../jobs/memory-estimate.js';
import type { Prepared } from '../jobs/prepare.js';
import type { Terminal } from '../jobs/train-run.js';
import type { RunResult } from '../train/observer.js';
import { ConsoleReporter } from '../train/observers/console.js';
import type { TrainOptions } from '../train/options.js';
import { planRun } from '../train/plan.js';
import { print } from './print.js';
import { StopSignal } from './stop-signal.js';

/** Trains before the eyes of a person. A signal ends it after the step, with the exit code that belongs to it. */
export async function trainAtTerminal(train: (terminal: Terminal) => Promise<RunResult>): Promise<RunResult> {
  const stop: StopSignal = new StopSignal((line) => reporter.note(line));
  const reporter = new ConsoleReporter(() => stop.received);
  try {
    return await train({
      observer: reporter,
      note: (line) => reporter.note(line),
      shouldStop: () => stop.received !== undefined,
    });
  } finally {
    reporter.close();
    stop.off();
  }
}

/** What a run would be; a UserError where it does not fit. */
export function printPlan(
  prepared: Prepared<TrainOptions>,
  images: ImageSource,
  description: TaskDescription,
): void {
  const { options, device, artifacts } = prepared;
  const available = device.readMemory();
  const plan = planRun(options, images.length);
  for (const [name, value] of describePlan(prepared, plan, images, available, description))
    print(`${name.padEnd(12)}${value}`);
  checkMemory(artifacts.manifest, options, device, available);
}
