import { readFile } from 'node:fs/promises';
import { type Logger, pino } from 'pino';
import { codeOf, messageOf, UserError } from '../../util/errors.js';
import { writeTextAtomically } from '../../weights/checkpoint/durable-files.js';

export interface TrainLine {
  step: number;
  epoch: number;
  /** Mean over the step's images. */
  loss: number;
  lr: number;
  /** Norm of the gradient of the loss without its scale. */
  grad_norm: number;
  /** What the step's gradients were scaled by, in float16. */
  loss_scale?: number;
  images_per_second: number;
  /** Share of the time since the last line spent waiting for data. */
  data_wait: number;
  /** Unreadable images met since the start of the run. */
  skipped_images: number;
}

/** `log.jsonl`: one JSON object a line, each with a `time` and a `type`. */
export class RunLog {
  readonly #path: string;
  readonly #logger: Logger;
  #failure: unknown;

  constructor(path: string) {
    this.#path = path;
    const destination = pino.destination({ dest: path, append: true, sync: true });
    destination.on('error', (error: unknown) => {
      this.#failure = error;
    });
    const options = {
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level: string) => ({ level }) },
    };
    this.#logger = pino(options, destination);
  }

  train(line: TrainLine): void {
    this.#write({ type: 'train', ...line });
  }

  /** `loss`: mean over the steps of the epoch. */
  epoch(line: { epoch: number; step: number; loss: number }): void {
    this.#write({ type: 'epoch', ...line });
  }

  validation(line: {
    epoch: number;
    step: number;
    loss: number;
    images: number;
    skipped_images: number;
  }): void {
    this.#write({ type: 'val', ...line });
  }

  checkpoint(line: { step: number; path: string }): void {
    this.#write({ type: 'checkpoint', ...line });
  }

  /** A step without an update; numbers as text, for JSON has no NaN. `images`: the file that names them. */
  skippedStep(line: {
    step: number;
    epoch: number;
    reason: 'overflow' | 'bad';
    loss: string;
    grad_norm: string;
    loss_scale?: number;
    images?: string;
  }): void {
    this.#write({ type: 'skipped_step', ...line });
  }

  skipped(line: { step: number; path: string; reason: string }): void {
    this.#write({ type: 'skipped', ...line });
  }

  start(line: Record<string, unknown>): void {
    this.#write({ type: 'start', ...line });
  }

  #write(line: Record<string, unknown>): void {
    this.#logger.info(line);
    if (this.#failure === undefined) return;
    const reason = codeOf(this.#failure) ?? messageOf(this.#failure);
    throw new UserError(`log: cannot write to ${this.#path} (${reason}); free some space, then resume`);
  }
}

/** Whether a run got as far as its first training line. */
export async function logHasSteps(path: string): Promise<boolean> {
  return (await readLog(path)).includes('"type":"train"');
}

/**
 * Removes what a killed process wrote after the checkpoint that the run goes on from: lines of later steps and
 * a torn last line.
 */
export async function trimLog(path: string, lastStep: number): Promise<void> {
  const text = await readLog(path);
  const kept = text.split('\n').filter((line) => {
    try {
      const { step } = JSON.parse(line) as { step?: number };
      return step === undefined || step <= lastStep;
    } catch {
      return false;
    }
  });
  const trimmed = kept.map((line) => `${line}\n`).join('');
  if (trimmed !== text) await writeTextAtomically(path, trimmed);
}

async function readLog(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return '';
    throw error;
  }
}
