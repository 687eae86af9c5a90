/** What the lines of a chart say at the cursor, or at their ends. */
import { type ChartSpec, labels } from './chart-list.js';
import { h } from './dom.js';
import { count, number, percent, short } from './format.js';
import { type Line, nearest } from './lines.js';
import { dashes, runColour } from './palette.js';
import { type Settings, xScales } from './settings.js';

interface Row {
  readonly line: Line;
  readonly row: HTMLTableRowElement;
  readonly value: HTMLElement;
  readonly smooth: HTMLElement;
  readonly step: HTMLElement;
}

export class Readout {
  readonly element: HTMLElement;
  readonly #spec: ChartSpec;
  readonly #caption = h('caption');
  readonly #head = h('thead');
  readonly #body = h('tbody');
  readonly #note = h('p', { class: 'soft' });
  readonly #said = h('p', { class: 'unseen', 'aria-live': 'polite' });
  #rows: Row[] = [];
  #scale: Settings['x'] = 'step';

  constructor(spec: ChartSpec) {
    this.#spec = spec;
    const table = h('table', { class: 'readout' }, this.#caption, this.#head, this.#body);
    this.element = h('div', {}, table, this.#note, this.#said);
  }

  /** A row for each line. */
  update(lines: readonly Line[], settings: Settings): void {
    this.#scale = settings.x;
    const hasSmooth = lines.some(({ smooth }) => smooth !== null);
    this.#head.replaceChildren(
      h(
        'tr',
        {},
        h('th', { scope: 'col' }, 'Run'),
        h('th', { scope: 'col' }, 'Value'),
        hasSmooth ? h('th', { scope: 'col' }, 'Smoothed') : null,
        h('th', { scope: 'col' }, 'Step'),
      ),
    );
    this.#rows = lines.map((line) => this.#rowOf(line, hasSmooth));
    this.#body.replaceChildren(...this.#rows.map(({ row }) => row));
    this.#note.textContent = lines.length === 0 ? 'Nothing to draw: no run that is shown tells this.' : '';
  }

  /** The points that are nearest to `x`; the last of each line where it is null. */
  show(x: number | null): void {
    const scale = xScales.find(([name]) => name === this.#scale)![1];
    this.#caption.textContent = x === null ? 'at the end' : `${scale} ${placeText(x, this.#scale)}`;
    for (const { line, row, value, smooth, step } of this.#rows) {
      const { curve } = line;
      const at = x === null ? line.x.length - 1 : nearest(line.x, x);
      const shown = (y: number | undefined) =>
        y === undefined ? '' : this.#spec.isShare ? percent(y) : number(y);
      row.dataset['value'] = `${curve.value[at]}`;
      row.dataset['step'] = `${curve.step[at]}`;
      value.textContent = shown(curve.value[at]);
      smooth.textContent = shown(line.smooth?.[at]);
      step.textContent = count(curve.step[at] ?? 0);
    }
  }

  /** Says it to those who do not see it. */
  say(): void {
    const rows = this.#rows.map(({ line, value }) => `${this.#nameOf(line)}: ${value.textContent}`);
    this.#said.textContent = `${this.#caption.textContent}. ${rows.join('; ')}`;
  }

  #nameOf({ run, curve }: Line): string {
    return this.#spec.tags.length === 1 ? run.name : `${run.name}, ${labels[curve.tag] ?? curve.tag}`;
  }

  #rowOf(line: Line, hasSmooth: boolean): Row {
    const [value, smooth, step] = [h('td'), h('td'), h('td')];
    const dash = dashes[this.#spec.tags.indexOf(line.curve.tag) % dashes.length]!;
    const name = h('th', { scope: 'row' }, swatch(line.index, dash), this.#nameOf(line));
    const row = h('tr', { 'data-tag': line.curve.tag, 'data-run': line.run.path }, name, value);
    row.append(...(hasSmooth ? [smooth, step] : [step]));
    return { line, row, value, smooth, step };
  }
}

function placeText(x: number, scale: Settings['x']): string {
  return scale === 'step' || scale === 'pictures' ? count(x) : short(x);
}

/** A piece of the line of a run. */
export function swatch(index: number, dash: readonly number[] = []): HTMLElement {
  const element = h('span', { class: 'swatch', 'aria-hidden': 'true' });
  element.style.borderTopColor = runColour(index);
  element.style.borderTopStyle = dash.length === 0 ? 'solid' : dash[0]! > 3 ? 'dashed' : 'dotted';
  return element;
}
