/** The page: sections made of the data, drawn anew where what they show has changed. */
import { Chart } from './chart.js';
import { chartsOf } from './chart-list.js';
import { h } from './dom.js';
import { machines, notes, overview } from './overview.js';
import type { ReportData } from './report-data.js';
import { firstSettings, type Settings } from './settings.js';
import { sheetSlider } from './sheets.js';
import { evaluations, options, probes, troubles } from './tables.js';
import { Toolbar, themeButton } from './toolbar.js';
import { weights } from './weights.js';

declare global {
  interface Window {
    /** Shows new data; what a person has set stays. */
    maeReport: { readonly settings: Settings; update(data: ReportData): void };
  }
}

interface Section {
  readonly id: string;
  readonly title: string;
  readonly render: (data: ReportData, settings: Settings) => Node[];
  /** What it shows: it is drawn anew where that changes. */
  readonly shows: (data: ReportData) => unknown;
}

const sections: readonly Section[] = [
  {
    id: 'pictures',
    title: 'Reconstructions',
    render: ({ runs }, settings) => sheetSlider(runs, settings),
    shows: ({ runs }) => runs.map(({ name, sheets }) => [name, sheets]),
  },
  {
    id: 'weights',
    title: 'Weights',
    render: ({ runs }) => weights(runs),
    shows: ({ runs }) => runs.map(({ name, weights: pictures }) => [name, pictures]),
  },
  {
    id: 'probes',
    title: 'Probes',
    render: ({ runs }) => probes(runs),
    shows: ({ runs }) =>
      runs.map(({ name, curves }) => [name, curves.filter(({ tag }) => /^probe/.test(tag))]),
  },
  {
    id: 'evaluations',
    title: 'Evaluations',
    render: ({ runs }) => evaluations(runs),
    shows: ({ runs }) => runs.map(({ name, evaluations: all }) => [name, all]),
  },
  {
    id: 'options',
    title: 'Options',
    render: options,
    shows: (data) => [data.runs.map(({ name }) => name), data.options],
  },
  {
    id: 'troubles',
    title: 'Trouble',
    render: ({ runs }) => troubles(runs),
    shows: ({ runs }) => runs.map(({ name, skipped, troubles: all }) => [name, skipped, all]),
  },
  {
    id: 'machines',
    title: 'Machine',
    render: ({ runs }) => machines(runs),
    shows: ({ runs }) => runs.map(({ name, machine }) => [name, machine]),
  },
  {
    id: 'notes',
    title: 'What this page leaves out',
    render: ({ runs }) => notes(runs),
    shows: ({ runs }) => runs.map(({ name, notes: all }) => [name, all]),
  },
];

class Page {
  readonly settings = firstSettings();
  #data: ReportData;
  readonly #charts = new Map<string, Chart>();
  readonly #chartBox = h('div', { class: 'charts' });
  readonly #toolbar = new Toolbar(this.settings, () => this.#drawCharts());
  readonly #overview = h('div');
  readonly #about = h('p', { class: 'soft' });
  readonly #links = h('nav', { 'aria-label': 'Parts of the page' });
  readonly #boxes = new Map<
    Section,
    { readonly element: HTMLElement; readonly body: HTMLElement; shown: string }
  >();

  constructor(root: HTMLElement, data: ReportData) {
    this.#data = data;
    const curves = h(
      'section',
      { id: 'curves' },
      h('h2', {}, 'Curves'),
      this.#toolbar.element,
      this.#chartBox,
    );
    const boxes = sections.map((section) => {
      const body = h('div');
      const element = h('section', { id: section.id }, h('h2', {}, section.title), body);
      this.#boxes.set(section, { element, body, shown: '' });
      return element;
    });
    const theme = themeButton(this.settings, () => this.#onTheme());
    root.append(
      h(
        'header',
        {},
        h('div', { class: 'title' }, h('h1', {}, 'Training report'), theme),
        this.#about,
        this.#links,
      ),
      h('main', {}, h('section', { id: 'overview' }, this.#overview), curves, ...boxes),
    );
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#onTheme());
    this.update(data);
  }

  update(data: ReportData): void {
    this.#data = data;
    const { runs, made, mae } = data;
    this.#about.textContent = `${runs.length === 1 ? runs[0]!.path : `${runs.length} runs`}, as of ${new Date(made).toLocaleString()}. mae ${mae}.`;
    const focused = document.activeElement?.id;
    this.#drawRuns();
    for (const [section, box] of this.#boxes) {
      const shown = JSON.stringify(section.shows(data));
      if (shown === box.shown) continue;
      box.shown = shown;
      const nodes = section.render(data, this.settings);
      box.body.replaceChildren(...nodes);
      box.element.hidden = nodes.length === 0;
    }
    this.#drawLinks();
    this.#drawCharts();
    if (focused && document.activeElement?.id !== focused) document.getElementById(focused)?.focus();
  }

  #drawRuns(): void {
    this.#overview.replaceChildren(...overview(this.#data.runs));
    this.#toolbar.update(this.#data.runs);
  }

  #drawLinks(): void {
    const shown = sections.filter((section) => !this.#boxes.get(section)!.element.hidden);
    const links = [{ id: 'curves', title: 'Curves' }, ...shown];
    this.#links.replaceChildren(...links.map(({ id, title }) => h('a', { href: `#${id}` }, title)));
  }

  #drawCharts(): void {
    const specs = chartsOf(this.#data.runs);
    const wanted = new Set(specs.map((spec) => JSON.stringify(spec)));
    for (const [key, chart] of this.#charts) {
      if (wanted.has(key)) continue;
      chart.element.remove();
      this.#charts.delete(key);
    }
    for (const spec of specs) {
      const key = JSON.stringify(spec);
      const chart = this.#charts.get(key) ?? new Chart(spec);
      if (!this.#charts.has(key)) this.#chartBox.append(chart.element);
      this.#charts.set(key, chart);
      chart.update(this.#data.runs, this.settings);
    }
  }

  /** Colours of runs are others. */
  #onTheme(): void {
    this.#drawRuns();
    for (const box of this.#boxes.values()) box.shown = '';
    this.update(this.#data);
  }
}

const data = JSON.parse(document.getElementById('data')!.textContent) as ReportData;
window.maeReport = new Page(document.getElementById('report')!, data);
