import { MultiBar, Presets, type SingleBar } from 'cli-progress';
import { type Manifest, parameterCount } from '../../artifact/manifest.js';
import type { SkippedImage } from '../../data/loader.js';
import type { PretrainObserver, PretrainResult } from '../loop.js';
import type { PretrainOptions } from '../options.js';
import type { Plan } from '../plan.js';
import type { TrainLine } from './jsonl.js';

/** Shows a run on stderr: a progress bar on a terminal, lines elsewhere. */
export class ConsoleReporter implements PretrainObserver {
  readonly #options: PretrainOptions;
  readonly #plan: Plan;
  /** A stack of one bar, for only a stack can write lines above itself. */
  readonly #bars: MultiBar | undefined;
  #bar: SingleBar | undefined;

  constructor(
    options: PretrainOptions,
    plan: Plan,
    manifest: Manifest,
    imageCount: number,
    resumeFrom: string | undefined,
  ) {
    this.#options = options;
    this.#plan = plan;
    const millions = (parameterCount(manifest) / 1e6).toFixed(1);
    say(
      `${options.model}: ${millions} M parameters, ${manifest.kept} of ${manifest.patches} patches visible`,
    );
    say(
      `${options.dataPath}: ${imageCount} images, ${plan.stepsPerEpoch} steps of ${plan.effectiveBatchSize} an epoch, ` +
        `${plan.totalSteps} steps in all`,
    );
    if (resumeFrom !== undefined) say(`continuing from ${resumeFrom}`);
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

  started(step: number, totalSteps: number): void {
    this.#bar = this.#bars?.create(totalSteps, step, { epoch: '-', loss: '-', lr: '-', speed: '-' });
  }

  stepped(line: TrainLine, isLogged: boolean): void {
    const epoch = `${line.epoch + 1}/${this.#options.epochs}`;
    const loss = line.loss.toFixed(4);
    const lr = line.lr.toExponential(2);
    const speed = line.images_per_second.toFixed(1);
    if (this.#bar !== undefined) this.#bar.update(line.step, { epoch, loss, lr, speed });
    else if (isLogged) {
      say(
        `step ${line.step}/${this.#plan.totalSteps}  epoch ${epoch}  loss ${loss}  lr ${lr}  ${speed} img/s`,
      );
    }
  }

  epochEnded(epoch: number, loss: number): void {
    if (this.#bar === undefined) say(`epoch ${epoch + 1}  mean loss ${loss.toFixed(4)}`);
  }

  validated(epoch: number, loss: number): void {
    this.note(`epoch ${epoch + 1}  validation loss ${loss.toFixed(4)}`);
  }

  skipped({ path, reason }: SkippedImage): void {
    this.note(`skipped ${path}: ${reason}`);
  }

  /** The last words of a run that came to its end or was asked to stop. */
  finished({ step, checkpoint }: PretrainResult, signal: string | undefined): void {
    this.close();
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
