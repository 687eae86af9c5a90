import { type Logger, pino } from 'pino';
import { codeOf, messageOf, UserError } from '../../util/errors.js';
import { type LogLine, trimLog } from '../log-file.js';
import type { RunEvents, RunObserver } from '../observer.js';
import { inLog } from '../validate.js';

/** `log.jsonl`: one JSON object a line, each with a `time` and a `type`. */
export class JsonLog implements RunObserver {
  readonly #path: string;
  readonly #onLine: (line: LogLine, text: string) => void;
  #totalSteps = Number.POSITIVE_INFINITY;
  #logger: Logger | undefined;
  #text = '';
  #failure: unknown;

  /** @param onLine is told each line that was written: what it says, and its text with its newline */
  constructor(path: string, onLine: (line: LogLine, text: string) => void = () => {}) {
    this.#path = path;
    this.#onLine = onLine;
  }

  /** Cuts off what a killed process wrote after the step that the run goes on from. */
  async started({ step, totalSteps, resumedFrom, device, compute }: RunEvents['started']): Promise<void> {
    await trimLog(this.#path, step);
    this.#totalSteps = totalSteps;
    const resumed = { resumed_from: resumedFrom ?? null };
    this.#write({ type: 'start', step, total_steps: totalSteps, ...resumed, device, compute });
  }

  guessed({ isNew, ...losses }: RunEvents['guessed']): void {
    if (isNew) this.#write({ type: 'guesses', ...losses });
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

  imageNoted(image: RunEvents['imageNoted']): void {
    this.#write({ type: 'note', ...image });
  }

  epochEnded(epoch: RunEvents['epochEnded']): void {
    this.#write({ type: 'epoch', ...epoch });
  }

  validated({ skippedImages, metrics, ...result }: RunEvents['validated']): void {
    this.#write({ type: 'val', ...result, skipped_images: skippedImages, ...inLog(metrics) });
  }

  validationFailed(failure: RunEvents['validationFailed']): void {
    this.#write({ type: 'val_failed', ...failure });
  }

  probed({ metrics, ...at }: RunEvents['probed']): void {
    this.#write({ type: 'probe', ...at, ...metrics });
  }

  probeFailed(failure: RunEvents['probeFailed']): void {
    this.#write({ type: 'probe_failed', ...failure });
  }

  pictured(sheet: RunEvents['pictured']): void {
    this.#write({ type: 'pictures', ...sheet });
  }

  picturesFailed(failure: RunEvents['picturesFailed']): void {
    this.#write({ type: 'pictures_failed', ...failure });
  }

  checkpointSaved(checkpoint: RunEvents['checkpointSaved']): void {
    this.#write({ type: 'checkpoint', ...checkpoint });
  }

  /** Whether the run came to its end, or was asked to stop before. */
  finished({ step }: RunEvents['finished']): void {
    this.#write({ type: 'end', step, how: step >= this.#totalSteps ? 'finished' : 'stopped' });
  }

  failed({ step }: RunEvents['failed']): void {
    this.#write({ type: 'end', step, how: 'failed' });
  }

  #write(line: LogLine): void {
    this.#logger ??= this.#open();
    this.#logger.info(line);
    if (this.#failure === undefined) {
      this.#onLine(line, this.#text);
      return;
    }
    const reason = codeOf(this.#failure) ?? messageOf(this.#failure);
    throw new UserError(`log: cannot write to ${this.#path} (${reason}); free some space, then resume`);
  }

  #open(): Logger {
    const destination = pino.destination({ dest: this.#path, append: true, sync: true });
    destination.on('error', (error: unknown) => {
      this.#failure = error;
    });
    const options = {
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level: string) => ({ level }) },
    };
    const both = {
      write: (text: string) => {
        destination.write(text);
        this.#text = text;
      },
    };
    return pino(options, both);
  }
}
