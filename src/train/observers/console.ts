import { printable } from '../../util/printable.js';
import type { RunEvents, RunObserver } from '../observer.js';
import { type Progress, progressLine, SmoothedLoss, StepSeconds, timeLeft } from './progress.js';
import { StatusLine, takesEscapes } from './status-line.js';

/** Enough to see what is wrong with them. */
const skippedImagesShown = 20;

/** Epochs beside whose loss those of guesses stand. */
const guessedEpochs = 3;

/** What a console tells of a run beside its events. */
export interface RunFacts {
  readonly stepsPerEpoch: number;
  /** Operations in the matrix products of a training step, for one image. */
  readonly imageFlops: number;
  /** What the device was measured to reach at best, in operations a second; undefined where that is not known. */
  readonly peakFlops: number | undefined;
}

/** Time between two drawings of the bar. */
const drawMilliseconds = 100;

/** Shows a run on stderr: a progress bar on a terminal that takes escape sequences, lines elsewhere. */
export class ConsoleReporter implements RunObserver {
  readonly #stopSignal: () => string | undefined;
  readonly #status: StatusLine | undefined;
  readonly #loss = new SmoothedLoss();
  #facts: RunFacts | undefined;
  #guesses: RunEvents['guessed'] | undefined;
  #stepSeconds = new StepSeconds(performance.now());
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

  /** Comes before the run starts. */
  know(facts: RunFacts): void {
    this.#facts = facts;
  }

  started({ step, totalSteps, epochs }: RunEvents['started']): void {
    this.#epochs = epochs;
    this.#totalSteps = totalSteps;
    this.#startedAt = step;
    this.#stepSeconds = new StepSeconds(performance.now());
    if (this.#status === undefined || step >= totalSteps) return;
    const unknown = { epoch: '-', loss: '-', lr: '-', imagesPerSecond: '-', dataWait: '-', flops: '' };
    this.#progress = { step, totalSteps, ...unknown, secondsLeft: undefined, epochSecondsLeft: undefined };
    process.stderr.on('resize', this.#onResize);
    this.#draw();
  }

  guessed(guesses: RunEvents['guessed']): void {
    this.#guesses = guesses;
    if (!guesses.isNew) return;
    const { mean, colour } = guesses;
    this.note(
      `losses of guesses: ${mean.toFixed(4)} the mean everywhere, ${colour.toFixed(4)} one colour an image; ` +
        'a model that learns gets below both',
    );
  }

  stepped({ step, isLogged, ...line }: RunEvents['stepped']): void {
    const now = performance.now();
    const progress: Progress = {
      step,
      totalSteps: this.#totalSteps,
      epoch: `${line.epoch + 1}/${Math.ceil(this.#epochs)}`,
      loss: this.#loss.after(line.loss).toFixed(4),
      lr: line.lr.toExponential(2),
      imagesPerSecond: line.imagesPerSecond.toFixed(1),
      dataWait: `${Math.round(100 * line.dataWait)}%`,
      flops: this.#flops(line.imagesPerSecond),
      ...this.#secondsLeft(step, line.epoch, this.#stepSeconds.after(now)),
    };
    if (this.#progress !== undefined) {
      this.#progress = progress;
      if (now - this.#drawnAt >= drawMilliseconds) this.#draw();
    } else if (isLogged) say(stepLine(progress));
  }

  stepSkipped({ step, reason, loss, gradientNorm, nextLossScale, images }: RunEvents['stepSkipped']): void {
    this.note(
      reason === 'overflow'
        ? `step ${step} skipped: gradients overflow, loss scale now ${nextLossScale}`
        : `step ${step} skipped: loss ${loss}, gradient norm ${gradientNorm}; its images are in ${images}`,
    );
  }

  epochEnded({ epoch, loss }: RunEvents['epochEnded']): void {
    const line = `epoch ${epoch + 1}  mean loss ${loss.toFixed(4)}`;
    if (this.#guesses !== undefined && epoch < guessedEpochs) {
      const { mean, colour } = this.#guesses;
      this.note(`${line}  (guesses: the mean ${mean.toFixed(4)}, one colour ${colour.toFixed(4)})`);
    } else if (this.#progress === undefined) say(line);
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
  finished({ step, checkpoint }: RunEvents['finished']): void {
    this.close();
    const saved =
      checkpoint === undefined ? 'not saved, for the loss or gradient was no number' : `saved ${checkpoint}`;
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
  }

  /** A line above the progress bar. */
  note(line: string): void {
    if (this.#progress === undefined) say(line);
    else this.#status?.log(printable(line));
  }

  /** Of matrix products, and the share of what the device can where that was measured. */
  #flops(imagesPerSecond: number): string {
    if (this.#facts === undefined) return '';
    const { imageFlops, peakFlops } = this.#facts;
    const flops = imagesPerSecond * imageFlops;
    const share = peakFlops === undefined ? '' : ` (${Math.round((100 * flops) / peakFlops)}% of peak)`;
    return `${(flops / 1e9).toPrecision(3)} GFLOP/s${share}`;
  }

  #secondsLeft(
    step: number,
    epoch: number,
    stepSeconds: number,
  ): Pick<Progress, 'secondsLeft' | 'epochSecondsLeft'> {
    const total = this.#totalSteps;
    const epochEnd =
      this.#facts === undefined ? undefined : Math.min(total, (epoch + 1) * this.#facts.stepsPerEpoch);
    return {
      secondsLeft: (total - step) * stepSeconds,
      epochSecondsLeft: epochEnd === undefined ? undefined : (epochEnd - step) * stepSeconds,
    };
  }

  #draw(): void {
    if (this.#progress === undefined || this.#status === undefined) return;
    this.#drawnAt = performance.now();
    this.#status.show(progressLine(this.#progress, this.#status.columns));
  }
}

/** Of a run without a terminal. */
function stepLine(progress: Progress): string {
  const { step, totalSteps, epoch, loss, lr, imagesPerSecond, dataWait, flops } = progress;
  return [
    `step ${step}/${totalSteps}`,
    `epoch ${epoch}`,
    `loss ${loss}`,
    `lr ${lr}`,
    `${imagesPerSecond} img/s`,
    `data wait ${dataWait}`,
    ...(flops === '' ? [] : [flops]),
    `left ${timeLeft(progress)}`,
  ].join('  ');
}

/** top-1 of top1. */
const metricName = (name: string) => name.replace(/(?<=[a-z])(?=\d)/, '-');

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;

function say(line: string): void {
  process.stderr.write(`${printable(line)}\n`);
}
