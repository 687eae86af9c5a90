/** One chart: lines of uPlot, and below it a table of what they say at the cursor. */
import uPlot from 'uplot';
import type { ChartSpec } from './chart-list.js';
import { h } from './dom.js';
import { axisText, number } from './format.js';
import { drawGuessLines, drawGuessNames, guessesOf, guessRange } from './guesses.js';
import { type Line, linesOf, nearest } from './lines.js';
import { logRange, logTicks } from './log-scale.js';
import { dashes, isDark, runColour, styleColour } from './palette.js';
import { Readout } from './readout.js';
import type { RunData } from './report-data.js';
import { type Settings, xScales } from './settings.js';

const syncKey = 'report';

const shares: uPlot.Axis.Values = (_, values) =>
  values.map((at) => (at === null ? '' : `${number(Number((100 * at).toFixed(6)))} %`));

export class Chart {
  readonly element: HTMLElement;
  readonly #spec: ChartSpec;
  readonly #box: HTMLElement;
  readonly #readout: Readout;
  #plot: uPlot | undefined;
  /** What decides how the plot is made; another one makes it anew. */
  #form = '';
  #lines: readonly Line[] = [];
  #isZoomed = false;

  constructor(spec: ChartSpec) {
    this.#spec = spec;
    this.#readout = new Readout(spec);
    this.#box = h('div', {
      class: 'plot',
      tabindex: 0,
      role: 'group',
      'aria-label': `Chart: ${spec.title}. Arrow keys move along it, plus and minus zoom, 0 shows all.`,
      onkeydown: (event) => this.#onKey(event as KeyboardEvent),
    });
    const heading = h('h3', {}, spec.title);
    this.element = h('div', { class: 'chart' }, heading, this.#box, this.#readout.element);
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.#box);
  }

  /** Draws the lines of runs; the zoom stays. */
  update(runs: readonly RunData[], settings: Settings): void {
    this.#lines = linesOf(runs, this.#spec.tags, settings);
    const form = JSON.stringify([
      this.#lines.map(({ run, index, curve, smooth }) => [run.path, index, curve.tag, smooth !== null]),
      settings.x,
      settings.isLog,
      isDark(),
    ]);
    const data = dataOf(this.#lines, settings.isLog);
    if (form !== this.#form || this.#plot === undefined) {
      this.#plot?.destroy();
      this.#isZoomed = false;
      this.#plot = new uPlot(this.#options(settings), data, this.#box);
      this.#form = form;
    } else this.#plot.setData(data, !this.#isZoomed);
    this.#readout.update(this.#lines, settings);
    this.#readout.show(null);
  }

  #size(): { width: number; height: number } {
    const width = Math.max(200, Math.floor(this.#box.clientWidth));
    return { width, height: width < 480 ? 220 : 280 };
  }

  #options(settings: Settings): uPlot.Options {
    const guesses = this.#spec.hasGuesses ? guessesOf(this.#lines.map(({ run }) => run)) : [];
    const label = xScales.find(([scale]) => scale === settings.x)![1];
    const lines = { stroke: styleColour('--grid'), width: 1 };
    const look: uPlot.Axis = {
      stroke: styleColour('--soft'),
      font: '12px system-ui, sans-serif',
      grid: lines,
      ticks: lines,
      values: (_, values) => values.map((at) => (at === null ? '' : axisText(at))), // null between decades
    };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: {
        sync: { key: syncKey, scales: ['x', null] },
        y: false,
        drag: { x: true, y: false },
        points: { size: 7 },
      },
      scales: {
        x: { time: false },
        y: settings.isLog
          ? { distr: 3, range: (_, low, high) => logRange(low, high) }
          : { range: (_, low, high) => guessRange(low, high, guesses) },
      },
      axes: [
        { ...look, label, labelFont: look.font!, labelSize: 22, size: 34 },
        {
          ...look,
          size: 62,
          ...(this.#spec.isShare && { values: shares }),
          ...(settings.isLog && {
            splits: (_: uPlot, __: number, low: number, high: number) => logTicks(low, high),
            filter: (_: uPlot, ticks: number[]) => ticks,
          }),
        },
      ],
      series: [{}, ...this.#lines.flatMap((line) => seriesOf(line, this.#spec))],
      hooks: {
        setCursor: [(plot) => this.#onCursor(plot)],
        setSelect: [({ select }) => this.#onZoom(select.width > 0)],
        drawClear: [(plot) => drawGuessLines(plot, guesses)],
        draw: [(plot) => drawGuessNames(plot, guesses)],
        ready: [({ over }) => over.addEventListener('dblclick', () => this.#onZoom(false))],
      },
    };
  }

  #onZoom(isZoomed: boolean): void {
    this.#isZoomed = isZoomed;
  }

  #onCursor({ cursor, posToVal }: uPlot): void {
    const { left = -1 } = cursor;
    this.#readout.show(left < 0 ? null : posToVal(left, 'x'));
  }

  #onKey(event: KeyboardEvent): void {
    const plot = this.#plot;
    const xs = plot?.data[0] as readonly number[] | undefined;
    if (plot === undefined || xs === undefined || xs.length === 0 || event.ctrlKey || event.metaKey) return;
    const { left = -1 } = plot.cursor;
    const at = nearest(xs, left < 0 ? xs[0]! : plot.posToVal(left, 'x'));
    const next = { ArrowLeft: at - 1, ArrowRight: left < 0 ? at : at + 1, Home: 0, End: xs.length - 1 }[
      event.key
    ];
    if (next !== undefined) this.#moveTo(plot, xs[Math.min(xs.length - 1, Math.max(0, next))]!);
    else if (event.key === '+' || event.key === '-') this.#zoom(plot, xs[at]!, event.key === '+' ? 0.5 : 2);
    else if (event.key === '0') this.#showAll(plot);
    else return;
    event.preventDefault();
  }

  #moveTo(plot: uPlot, x: number): void {
    const { min = x, max = x } = plot.scales['x']!;
    if (x < min! || x > max!) this.#showAll(plot);
    plot.setCursor({ left: plot.valToPos(x, 'x'), top: 0 });
    this.#readout.show(x);
    this.#readout.say();
  }

  #zoom(plot: uPlot, around: number, factor: number): void {
    const { min, max } = plot.scales['x']!;
    if (min == null || max == null) return;
    plot.setScale('x', { min: around - (around - min) * factor, max: around + (max - around) * factor });
    this.#isZoomed = true;
  }

  #showAll(plot: uPlot): void {
    this.#isZoomed = false;
    plot.setData(plot.data, true);
  }
}

/** All lines over the x of all; a logarithm has no place for what is not above 0. */
function dataOf(lines: readonly Line[], isLog: boolean): uPlot.AlignedData {
  if (lines.length === 0) return [[]];
  const drawn = (values: readonly number[]) => values.map((y) => (isLog && !(y > 0) ? null : y));
  const tables = lines.map(({ x, curve, smooth }): uPlot.AlignedData => {
    const raw = drawn(curve.value);
    return smooth === null ? [[...x], raw] : [[...x], raw, drawn(smooth)];
  });
  return uPlot.join(tables);
}

function seriesOf({ index, curve, smooth }: Line, { tags }: ChartSpec): uPlot.Series[] {
  const colour = runColour(index);
  const line: uPlot.Series = {
    stroke: colour,
    dash: dashes[tags.indexOf(curve.tag) % dashes.length]!,
    width: 2,
  };
  const isSparse = curve.step.length <= 60;
  const raw: uPlot.Series = {
    ...line,
    points: { show: isSparse, size: 5, fill: colour },
    ...(smooth !== null && { width: 1, alpha: 0.3 }),
  };
  return smooth === null ? [raw] : [raw, { ...line, points: { show: false } }];
}
