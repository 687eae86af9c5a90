import { printable } from '../../util/printable.js';
import type { RunEvents, RunObserver } from '../observer.js';
import { type Progress, progressLine, TimeLeft } from './progress.js';
import { StatusLine, takesEscapes } from './status-line.js';

/** Enough to see what is wrong with them. */
const skippedImagesShown = 20;

/** Time between two drawings of the bar. */
const drawMilliseconds = 100;

/** Shows a run on stderr: a progress bar on a terminal that takes escape sequences, lines elsewhere. */
export class ConsoleReporter implements RunObserver {
  readonly #stopSignal: () => string | undefined;
  readonly #status: StatusLine | undefined;
  #timeLeft: TimeLeft | undefined;
  #progress: Progress | undefined;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #epochs = 0;
  #totalSteps = 0;
  #startedAt = 0;
  #skippedImages = 0;
  readonly #onResize = () => this.#draw();

  /** @param stopSignal the signal that asked the run to stop, if one did */
  constructor(stopSignal: () => string | undefined) {
    this.#stopSignal = stopSignal;
    if (takesEscapes(process.stderr, process.env)) this.#status = new StatusLine(process.stderr);
  }

  started({ step, totalSteps, epochs }: RunEvents['started']): void {
    this.#epochs = epochs;
    this.#totalSteps = totalSteps;
    this.#startedAt = step;
    if (this.#status === undefined || step >= totalSteps) return;
    this.#timeLeft = new TimeLeft(performance.now());
    const unknown = { epoch: '-', loss: '-', lr: '-', imagesPerSecond: '-', secondsLeft: undefined };
    this.#progress = { step, totalSteps, ...unknown };
    process.stderr.on('resize', this.#onResize);
    this.#draw();
  }

  stepped({ step, isLogged, ...line }: RunEvents['stepped']): void {
    const totalSteps = this.#totalSteps;
    const epoch = `${line.epoch + 1}/${this.#epochs}`;
    const loss = line.loss.toFixed(4);
    const lr = line.lr.toExponential(2);
    const imagesPerSecond = line.imagesPerSecond.toFixed(1);
    if (this.#timeLeft !== undefined) {
      const now = performance.now();
      const secondsLeft = this.#timeLeft.after(totalSteps - step, now);
      this.#progress = { step, totalSteps, epoch, loss, lr, imagesPerSecond, secondsLeft };
      if (now - this.#drawnAt >= drawMilliseconds) this.#draw();
    } else if (isLogged) {
      say(`step ${step}/${totalSteps}  epoch ${epoch}  loss ${loss}  lr ${lr}  ${imagesPerSecond} img/s`);
    }
  }

  stepSkipped({ step, reason, loss, gradientNorm, nextLossScale, images }: RunEvents['stepSkipped']): void {
    this.note(
      reason === 'overflow'
        ? `step ${step} skipped: gradients overflow, loss scale now ${nextLossScale}`
        : `step ${step} skipped: loss ${loss}, gradient norm ${gradientNorm}; its images are in ${images}`,
    );
  }

  epochEnded({ epoch, loss }: RunEvents['epochEnded']): void {
    if (this.#progress === undefined) say(`epoch ${epoch + 1}  mean loss ${loss.toFixed(4)}`);
  }

  validated({ epoch, loss, metrics = {} }: RunEvents['validated']): void {
    const others = Object.entries(metrics).map(([name, share]) => `  ${metricName(name)} ${percent(share)}`);
    this.note(`epoch ${epoch + 1}  validation loss ${loss.toFixed(4)}${others.join('')}`);
  }

  validationFailed({ epoch, reason }: RunEvents['validationFailed']): void {
    this.note(`epoch ${epoch + 1}  no validation loss: ${reason}`);
  }

  probed({ epoch, metrics }: RunEvents['probed']): void {
    const { knn, logreg, rank_me: rankMe } = metrics;
    this.note(
      `epoch ${epoch + 1}  probe: kNN ${percent(knn!)}  logistic regression ${percent(logreg!)}  RankMe ${rankMe!.toFixed(1)}`,
    );
  }

  probeFailed({ epoch, reason }: RunEvents['probeFailed']): void {
    this.note(`epoch ${epoch + 1}  no probe: ${reason}`);
  }

  picturesFailed({ epochs, reason }: RunEvents['picturesFailed']): void {
    this.note(`after epoch ${epochs}  no pictures: ${reason}`);
  }

  imageSkipped({ path, reason }: RunEvents['imageSkipped']): void {
    this.#skippedImages++;
    if (this.#skippedImages <= skippedImagesShown) this.note(`skipped ${path}: ${reason}`);
    if (this.#skippedImages === skippedImagesShown + 1)
      this.note('further skipped images are in log.jsonl only');
  }

  imageNoted({ path, text }: RunEvents['imageNoted']): void {
    this.note(`${path}: ${text}`);
  }

  checkpointRefused({ step }: RunEvents['checkpointRefused']): void {
    this.note(`step ${step} is not saved: its weights are not finite`);
  }

  /** The last words of a run that came to its end or was asked to stop. */
  finished({ step, checkpoint, best }: RunEvents['finished']): void {
    this.close();
    const saved =
      checkpoint === undefined ? 'not saved, for the loss or gradient was no number' : `saved ${checkpoint}`;
    if (best !== undefined) {
      const { measure, value, path } = best;
      say(`best ${measure.label} ${measure.isLoss ? value.toFixed(4) : percent(value)}: ${path}`);
    }
    const signal = this.#stopSignal();
    if (step === this.#startedAt && step >= this.#totalSteps) {
      say(`already at its end (step ${step}): nothing to do; it is saved in ${checkpoint}`);
      say(
        `to train on: a larger --max-steps, where it has ended the run, or a new run with --init ${checkpoint}`,
      );
    } else if (signal === undefined) say(`done at step ${step}; ${saved}`);
    else {
      say(`stopped by ${signal} at step ${step}; ${saved}`);
      say('run the same command again to continue');
    }
  }

  failed({ step, checkpoint }: RunEvents['failed']): void {
    this.close();
    if (checkpoint !== undefined) say(`ended at step ${step}; saved ${checkpoint}`);
  }

  /** Leaves the bar as it stands and goes below it. */
  close(): void {
    if (this.#progress === undefined) return;
    this.#draw();
    this.#status?.end();
    process.stderr.off('resize', this.#onResize);
    this.#progress = undefined;
    this.#timeLeft = undefined;
  }

  /** A line above the progress bar. */
  note(line: string): void {
    if (this.#progress === undefined) say(line);
    else this.#status?.log(printable(line));
  }

  #draw(): void {
    if (this.#progress === undefined || this.#status === undefined) return;
    this.#drawnAt = performance.now();
    this.#status.show(progressLine(this.#progress, this.#status.columns));
  }
}

/** top-1 of top1. */
const metricName = (name: string) => name.replace(/(?<=[a-z])(?=\d)/, '-');

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

function say(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}
