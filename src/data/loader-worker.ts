import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, UserError } from '../util/errors.js';
import { type FillJob, type FillSetup, type ImageNote, RowFiller, type SkippedImage } from './row-filler.js';
import { noSeconds, type StageSeconds } from './stage-seconds.js';

export interface WorkerSetup {
  setup: FillSetup;
  /** One flag: not 0 when the loader is closing. */
  stop: Int32Array<SharedArrayBuffer>;
}

/** A job that was posted, or undefined to end. */
export type ToWorker = FillJob | undefined;

/** What a worker did of one job. */
export interface FromWorker {
  sequence: number;
  rows: number;
  skipped: { row: number; image: SkippedImage }[];
  seconds: StageSeconds;
  notes: ImageNote[];
  error?: { message: string; stack: string | undefined; isUserError: boolean };
}

const { setup, stop } = workerData as WorkerSetup;
const port = parentPort!;
const filler = new RowFiller(setup);

/** Takes rows until none is left: workers share a batch without asking the training thread for work. */
async function work(job: FillJob): Promise<FromWorker> {
  const done: FromWorker = { sequence: job.sequence, rows: 0, skipped: [], seconds: noSeconds(), notes: [] };
  try {
    while (Atomics.load(stop, 0) === 0) {
      const row = Atomics.add(job.tickets, 0, 1);
      if (row >= job.rows) break;
      const image = await filler.fill(job, row);
      if (image) done.skipped.push({ row, image });
      done.rows++;
    }
  } catch (error) {
    const stack = error instanceof Error ? error.stack : undefined;
    done.error = { message: messageOf(error), stack, isUserError: error instanceof UserError };
  }
  done.seconds = filler.takeSeconds();
  done.notes = filler.takeNotes();
  return done;
}

let working = Promise.resolve();
port.on('message', (job: ToWorker) => {
  working = working.then(async () => {
    if (job) {
      port.postMessage(await work(job));
    } else {
      filler.close();
      port.close(); // nothing is left to wait for: the thread ends
    }
  });
});
