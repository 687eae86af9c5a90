/** What the commands that train share: a person at a terminal, and what `--dry-run` prints. */
import { describePlan } from '../jobs/describe-plan.js';
import { estimateTime, timedPlan } from '../jobs/estimate-time.js';
import { checkMemory } from '../jobs/memory-estimate.js';
import type { Terminal, TrainJob } from '../jobs/train-job.js';
import type { RunResult } from '../train/observer.js';
import { ConsoleReporter } from '../train/observers/console.js';
import type { TrainOptions } from '../train/options.js';
import { planRun } from '../train/plan.js';
import { note, print } from './print.js';
import { StopSignal } from './stop-signal.js';

/** How a run is told: for people on stderr, or for programs on stdout. */
export type LogFormat = 'text' | 'json';

/** Trains before the eyes of a person. A signal ends it after the step, with the exit code that belongs to it. */
export async function trainAtTerminal(
  train: (terminal: Terminal) => Promise<RunResult>,
  logFormat: LogFormat = 'text',
): Promise<RunResult> {
  const stop: StopSignal = new StopSignal((line) => terminal.note(line));
  const reporter = new ConsoleReporter(() => stop.received);
  const shouldStop = () => stop.received !== undefined;
  const terminal: Terminal =
    logFormat === 'json'
      ? { ...jsonLines, shouldStop }
      : {
          observer: reporter,
          note: (line) => reporter.note(line),
          know: (facts) => reporter.know(facts),
          shouldStop,
        };
  try {
    return await train(terminal);
  } finally {
    reporter.close();
    stop.off();
  }
}

/** The lines of the log as they are written, and of the same form what people are told beside them. */
const jsonLines: Omit<Terminal, 'shouldStop'> = {
  observer: {},
  note: (text) => {
    const line = { level: 'info', time: new Date().toISOString(), type: 'message', text };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  },
  onLogLine: (line) => void process.stdout.write(line),
};

/** What a run would be; a UserError where it does not fit. */
export async function printPlan<O extends TrainOptions>(given: TrainJob<O>): Promise<void> {
  const { device, artifacts } = given.prepared;
  const available = device.readMemory();
  const images = await given.openImages(note);
  if (given.isTimed) checkMemory(artifacts.manifest, given.prepared.options, device, available);
  const job = given.isTimed ? await timedPlan(given, images, note) : given;
  const { options } = job.prepared;
  const plan = planRun(options, images.trainImages.length);
  const row = (name: string, value: string) => print(`${name.padEnd(12)}${value}`);
  for (const [name, value] of describePlan(job.prepared, plan, images.trainImages, available, job.describe()))
    row(name, value);
  checkMemory(artifacts.manifest, options, device, available);
  row('time', given.isTimed ? 'as --time-budget says' : await estimateTime(job, plan, images));
}
