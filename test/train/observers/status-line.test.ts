import { Terminal } from '@xterm/headless';
import { describe, expect, test } from 'vitest';
import {
  formatDuration,
  progressLine,
  SmoothedLoss,
  StepSeconds,
  timeLeft,
} from '../../../src/train/observers/progress.js';
import { StatusLine, takesEscapes } from '../../../src/train/observers/status-line.js';

/** A real terminal's screen, in memory. */
class Screen {
  readonly #terminal: Terminal;
  readonly status: StatusLine;

  constructor(columns: number) {
    this.#terminal = new Terminal({ cols: columns, rows: 12, convertEol: true, allowProposedApi: true });
    const outer = this;
    this.status = new StatusLine({
      get columns() {
        return outer.columns;
      },
      write: (text) => outer.write(text),
    });
  }

  get columns(): number {
    return this.#terminal.cols;
  }

  write(text: string): void {
    this.#terminal.write(text);
  }

  resize(columns: number): Promise<void> {
    return this.lines().then(() => this.#terminal.resize(columns, 12));
  }

  /** Its rows, when all that was written is on it. */
  async lines(): Promise<string[]> {
    await new Promise<void>((done) => this.#terminal.write('', done));
    const { active } = this.#terminal.buffer;
    const rows = Array.from({ length: active.length }, (_, i) => active.getLine(i)!.translateToString(true));
    while (rows.at(-1) === '') rows.pop();
    return rows;
  }
}

const progress = {
  step: 12,
  totalSteps: 120,
  epoch: '4/40',
  loss: '1.6777',
  lr: '4.59e-6',
  imagesPerSecond: '68.6',
  dataWait: '3%',
  flops: '25.6 GFLOP/s (41% of peak)',
  secondsLeft: 49,
  epochSecondsLeft: 12,
};

describe('the status line', () => {
  test('long lines above it break as the terminal breaks them, and it stays one line', async () => {
    const screen = new Screen(20);
    screen.status.show('step 1 of many, and more than fits');
    screen.status.log('a'.repeat(45));
    screen.status.show('step 2');
    screen.status.log('short');
    screen.status.show('step 3');
    expect(await screen.lines()).toEqual(['a'.repeat(20), 'a'.repeat(20), 'aaaaa', 'short', 'step 3']);
  });

  test('it is drawn anew in a terminal that became narrower, and takes no line above it away', async () => {
    const screen = new Screen(100);
    screen.write('before\n');
    for (const columns of [100, 45, 30]) {
      await screen.resize(columns);
      screen.status.show(progressLine(progress, columns));
    }
    expect(await screen.lines()).toEqual(['before', '12/120  loss 1.6777  left 49s']);
  });

  test('the last one stays when the run ends', async () => {
    const screen = new Screen(40);
    screen.status.show('120/120');
    screen.status.end();
    screen.write('done\n');
    expect(await screen.lines()).toEqual(['120/120', 'done']);
  });

  test.each<[string, { isTTY?: boolean }, NodeJS.ProcessEnv, boolean]>([
    ['a terminal', { isTTY: true }, { TERM: 'xterm-256color' }, true],
    ['a terminal of Windows', { isTTY: true }, {}, true],
    ['a pipe', {}, { TERM: 'xterm' }, false],
    ['a dumb terminal', { isTTY: true }, { TERM: 'dumb' }, false],
    ['NO_COLOR', { isTTY: true }, { TERM: 'xterm', NO_COLOR: '1' }, false],
    ['an empty NO_COLOR, which counts as none', { isTTY: true }, { NO_COLOR: '' }, true],
    ['CI, whose terminals are files', { isTTY: true }, { CI: 'true' }, false],
  ])('%s', (_, stream, environment, expected) => {
    expect(takesEscapes(stream, environment)).toBe(expected);
  });
});

describe('the progress line', () => {
  test('never fills a row, and tells loss and time left in 40 columns and fewer', () => {
    const long = { ...progress, step: 123456, totalSteps: 1000000, epoch: '123/1000', secondsLeft: 187200 };
    for (const given of [progress, long]) {
      for (let columns = 20; columns <= 160; columns++) {
        const line = progressLine(given, columns);
        expect(line.length, line).toBeLessThan(columns);
        expect(line).toContain(given.loss);
        expect(line).toContain(formatDuration(given.secondsLeft));
      }
      expect(progressLine(given, 40)).toMatch(/^\d+\/\d+ .*loss .*left /);
    }
  });

  test('durations', () => {
    const seconds = [0, 59.4, 59.6, 200, 3600, 18480, 187200, undefined];
    const expected = ['0s', '59s', '1m00s', '3m20s', '1h00m', '5h08m', '2d04h', '-'];
    expect(seconds.map(formatDuration)).toEqual(expected);
  });

  test('a step takes what those behind took, and follows a change', () => {
    const seconds = new StepSeconds(0);
    for (let step = 1; step <= 10; step++) expect(seconds.after(500 * step)).toBeCloseTo(0.5);
    let last = 0;
    for (let step = 1; step <= 200; step++) last = seconds.after(5000 + 100 * step);
    expect(last).toBeCloseTo(0.1, 3);
  });

  test('the wider a terminal, the more it tells; all of it in 160 columns', () => {
    const wide = progressLine(progress, 160);
    for (const part of ['epoch 4/40', 'lr 4.59e-6', '68.6 img/s', 'data wait 3%', '(41% of peak)'])
      expect(wide).toContain(part);
    expect(wide).toMatch(/left 49s \(epoch 12s\)$/);
    let before = 0;
    for (let columns = 20; columns <= 160; columns++) {
      const { length } = progressLine(progress, columns);
      expect(length).toBeGreaterThanOrEqual(before);
      before = length;
    }
  });

  test('the time of an epoch that ends with the run, or is not known, is not told twice', () => {
    expect(timeLeft({ secondsLeft: 200, epochSecondsLeft: 59 })).toBe('3m20s (epoch 59s)');
    expect(timeLeft({ secondsLeft: 200, epochSecondsLeft: 200 })).toBe('3m20s');
    expect(timeLeft({ secondsLeft: 200, epochSecondsLeft: undefined })).toBe('3m20s');
  });

  test('the smoothed loss begins with the first, keeps a constant and halves a jump in seven steps', () => {
    const smoothed = new SmoothedLoss();
    expect(smoothed.after(2)).toBeCloseTo(2, 12);
    for (let step = 0; step < 200; step++) expect(smoothed.after(2)).toBeCloseTo(2, 12);
    let last = 0;
    for (let step = 0; step < 7; step++) last = smoothed.after(1);
    expect(last).toBeGreaterThan(1.45);
    expect(last).toBeLessThan(1.5);
  });
});
