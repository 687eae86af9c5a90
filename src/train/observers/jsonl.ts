import { readFile } from 'node:fs/promises';
import { type Logger, pino } from 'pino';
import { codeOf, messageOf, UserError } from '../../util/errors.js';
import { writeTextAtomically } from '../../weights/checkpoint/durable-files.js';
import type { RunEvents, RunObserver } from '../observer.js';

/** `log.jsonl`: one JSON object a line, each with a `time` and a `type`. */
export class JsonLog implements RunObserver {
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

  started({ step, totalSteps, resumedFrom, device, compute }: RunEvents['started']): void {
    const resumed = { resumed_from: resumedFrom ?? null };
    this.#write({ type: 'start', step, total_steps: totalSteps, ...resumed, device, compute });
  }

  stepped({ step, epoch, loss, lr, isLogged, ...more }: RunEvents['stepped']): void {
    if (!isLogged) return;
    this.#write({
      type: 'train',
      step,
      epoch,
      loss,
      lr,
      grad_norm: more.gradientNorm,
      ...(more.lossScale !== undefined && { loss_scale: more.lossScale }),
      images_per_second: more.imagesPerSecond,
      data_wait: more.dataWait,
      skipped_images: more.skippedImages,
    });
  }

  /** Numbers are text here, for JSON has no NaN. */
  stepSkipped({
    step,
    epoch,
    reason,
    loss,
    gradientNorm,
    lossScale,
    images,
  }: RunEvents['stepSkipped']): void {
    this.#write({
      type: 'skipped_step',
      step,
      epoch,
      reason,
      loss: String(loss),
      grad_norm: String(gradientNorm),
      ...(lossScale !== undefined && { loss_scale: lossScale }),
      ...(images !== undefined && { images }),
    });
  }

  imageSkipped(image: RunEvents['imageSkipped']): void {
    this.#write({ type: 'skipped', ...image });
  }

  epochEnded(epoch: RunEvents['epochEnded']): void {
    this.#write({ type: 'epoch', ...epoch });
  }

  validated({ skippedImages, ...result }: RunEvents['validated']): void {
    this.#write({ type: 'val', ...result, skipped_images: skippedImages });
  }

  checkpointSaved(checkpoint: RunEvents['checkpointSaved']): void {
    this.#write({ type: 'checkpoint', ...checkpoint });
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

/** The mean losses of the epochs that a run ended, in their order. */
export async function epochLosses(path: string): Promise<number[]> {
  const lines = (await readLog(path)).split('\n').filter((line) => line.includes('"type":"epoch"'));
  return lines.map((line) => (JSON.parse(line) as { loss: number }).loss);
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
