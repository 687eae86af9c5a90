import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import type { RunEvents, RunObserver } from '../observer.js';

/** Enough to see what is wrong with them. */
const skippedImagesShown = 20;

/** Shows a run on stderr: a progress bar on a terminal, lines elsewhere. */
export class ConsoleReporter implements RunObserver {
  readonly #stopSignal: () => string | undefined;
  /** A stack of one bar, for only a stack can write lines above itself. */
  readonly #bars: MultiBar | undefined;
  #bar: SingleBar | undefined;
  #epochs = 0;
  #totalSteps = 0;
  #skippedImages = 0;

  /** @param stopSignal the signal that asked the run to stop, if one did */
  constructor(stopSignal: () => string | undefined) {
    this.#stopSignal = stopSignal;
    if (process.stderr.isTTY) {
      this.#bars = new MultiBar(
        {
          stream: process.stderr,
          format:
            '{bar} {value}/{total}  epoch {epoch}  loss {loss}  lr {lr}  {speed} img/s  left {eta_formatted}',
          barsize: 24,
          etaBuffer: 50,
          hideCursor: true,
          clearOnComplete: false,
          gracefulExit: false,
        },
        Presets.shades_classic,
      );
    }
  }

  started({ step, totalSteps, epochs }: RunEvents['started']): void {
    this.#epochs = epochs;
    this.#totalSteps = totalSteps;
    this.#bar = this.#bars?.create(totalSteps, step, { epoch: '-', loss: '-', lr: '-', speed: '-' });
  }

  stepped({ step, isLogged, ...line }: RunEvents['stepped']): void {
    const epoch = `${line.epoch + 1}/${this.#epochs}`;
    const loss = line.loss.toFixed(4);
    const lr = line.lr.toExponential(2);
    const speed = line.imagesPerSecond.toFixed(1);
    if (this.#bar !== undefined) this.#bar.update(step, { epoch, loss, lr, speed });
    else if (isLogged) {
      say(`step ${step}/${this.#totalSteps}  epoch ${epoch}  loss ${loss}  lr ${lr}  ${speed} img/s`);
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
    if (this.#bar === undefined) say(`epoch ${epoch + 1}  mean loss ${loss.toFixed(4)}`);
  }

  validated({ epoch, loss }: RunEvents['validated']): void {
    this.note(`epoch ${epoch + 1}  validation loss ${loss.toFixed(4)}`);
  }

  imageSkipped({ path, reason }: RunEvents['imageSkipped']): void {
    this.#skippedImages++;
    if (this.#skippedImages <= skippedImagesShown) this.note(`skipped ${path}: ${reason}`);
    if (this.#skippedImages === skippedImagesShown + 1)
      this.note('further skipped images are in log.jsonl only');
  }

  checkpointRefused({ step }: RunEvents['checkpointRefused']): void {
    this.note(`step ${step} is not saved: its weights are not finite`);
  }

  /** The last words of a run that came to its end or was asked to stop. */
  finished({ step, checkpoint }: RunEvents['finished']): void {
    this.close();
    const signal = this.#stopSignal();
    const ended = signal === undefined ? 'done' : `stopped by ${signal}`;
    say(
      `${ended} at step ${step}; ${checkpoint === undefined ? 'not saved, for the loss or gradient was no number' : `saved ${checkpoint}`}`,
    );
    if (signal !== undefined) say('run the same command again to continue');
  }

  close(): void {
    if (!this.#bars?.isActive) return;
    this.#bars.update(); // writes what was logged; a stack that stops forgets it
    this.#bars.stop();
    this.#bar = undefined;
  }

  /** A line above the progress bar. */
  note(line: string): void {
    if (this.#bar === undefined) say(line);
    else this.#bars?.log(`${line}\n`);
  }
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
