import { formatDuration, progressBar } from '../train/observers/progress.js';
import { StatusLine, takesEscapes } from '../train/observers/status-line.js';
import { printable } from '../util/printable.js';
import { note } from './print.js';

/** Time between two drawings of the bar, and between two lines where there is none. */
const drawMilliseconds = 100;
const lineMilliseconds = 30_000;

/** How far a pass over images is, on stderr: a bar on a terminal that takes escape sequences, a line at times elsewhere. */
export class ImageProgress {
  readonly #status = takesEscapes(process.stderr, process.env) ? new StatusLine(process.stderr) : undefined;
  #shownAt = performance.now();
  #begun: { readonly done: number; readonly at: number } | undefined;
  #isDrawn = false;

  /** Of `total` images `done` are; `pretrain` tells steps, this tells images. */
  readonly update = (done: number, total: number): void => {
    const now = performance.now();
    this.#begun ??= { done, at: now };
    const { done: before, at } = this.#begun;
    const rate = done > before ? (1000 * (done - before)) / (now - at) : undefined;
    if (now - this.#shownAt < (this.#status ? drawMilliseconds : lineMilliseconds) && done < total) return;
    this.#shownAt = now;
    const images = `${done}/${total} images  ${rate === undefined ? '-' : rate.toFixed(1)} img/s`;
    const left = `left ${formatDuration(rate === undefined ? undefined : (total - done) / rate)}`;
    if (this.#status === undefined) {
      if (done < total) note(`${images}  ${left}`);
      return;
    }
    const lines = [`${progressBar(done / total, 24)} ${images}  ${left}`, `${images}  ${left}`, left];
    this.#status.show(lines.find((line) => line.length < this.#status!.columns) ?? left);
    this.#isDrawn = true;
  };

  /** A line above the bar. */
  readonly note = (line: string): void => {
    if (this.#isDrawn) this.#status!.log(printable(line));
    else note(line);
  };

  /** Leaves the bar as it stands and goes below it. */
  end(): void {
    this.#status?.end();
    this.#isDrawn = false;
  }
}
