/** The reconstructions of the runs, one epoch at a time. */
import { h, picture, scrolled } from './dom.js';
import type { RunData, Sheets } from './report-data.js';
import type { Settings } from './settings.js';

/** A slider over the epochs of all runs; each shows its last sheet up to there. */
export function sheetSlider(runs: readonly RunData[], settings: Settings): Node[] {
  const shown = runs.flatMap(({ name, sheets }) => (sheets === null ? [] : [{ name, sheets }]));
  const epochs = [...new Set(shown.flatMap(({ sheets }) => sheets.sheets.map((sheet) => sheet.epochs)))].sort(
    (a, b) => a - b,
  );
  if (epochs.length === 0) return [];
  const frames = shown.map(({ name, sheets }) => new Frame(name, sheets));
  const slider = h('input', { type: 'range', id: 'sheet', min: 0, max: epochs.length - 1, step: 1 });
  const told = h('output', { for: 'sheet' });
  const show = () => {
    const at = epochs[Number(slider.value)]!;
    told.textContent = `epoch ${at}`;
    slider.setAttribute('aria-valuetext', `epoch ${at}`);
    for (const frame of frames) frame.show(at);
  };
  const wanted = settings.sheetEpochs ?? Number.POSITIVE_INFINITY;
  slider.value = `${Math.max(
    0,
    epochs.findLastIndex((each) => each <= wanted),
  )}`;
  slider.addEventListener('input', () => {
    const isLast = Number(slider.value) === epochs.length - 1;
    settings.sheetEpochs = isLast ? null : epochs[Number(slider.value)]!;
    show();
  });
  show();
  const label = h('label', { class: 'wide' }, 'Epochs behind the weights ', slider, told);
  return [label, ...frames.map(({ element }) => element)];
}

class Frame {
  readonly element: HTMLElement;
  readonly #name: string;
  readonly #sheets: Sheets;
  readonly #image: HTMLImageElement;
  readonly #caption = h('span');

  constructor(name: string, sheets: Sheets) {
    this.#name = name;
    this.#sheets = sheets;
    this.#image = picture(sheets.sheets[0]!, '');
    this.#image.className = 'sheet';
    const rows = sheets.rows.length === 0 ? '' : ` Rows: ${sheets.rows.join('; ')}.`;
    const columns =
      sheets.columns.length === 0
        ? ''
        : ` Columns: ${sheets.columns.map((name) => name.split(/[/\\]/).at(-1)).join(', ')}.`;
    const about = h('span', { class: 'soft' }, `${rows}${columns}`);
    this.element = h(
      'figure',
      {},
      h('figcaption', {}, h('b', {}, name), ' ', this.#caption, h('br'), about),
      scrolled(`Reconstructions of ${name}`, this.#image),
    );
  }

  show(epochs: number): void {
    const { sheets } = this.#sheets;
    const sheet = sheets.findLast((each) => each.epochs <= epochs) ?? sheets[0]!;
    const told = sheet.epochs === 0 ? 'epoch 0, before the first step' : `epoch ${sheet.epochs}`;
    this.#caption.textContent = sheet.epochs === epochs ? told : `${told} (its last until then)`;
    if (this.#image.getAttribute('src') !== sheet.src) this.#image.src = sheet.src;
    this.#image.alt = `Reconstructions of ${this.#name} at ${told}`;
  }
}
