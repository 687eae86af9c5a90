/** What a person sets for all charts. */
import { h } from './dom.js';
import { isDark } from './palette.js';
import { swatch } from './readout.js';
import type { RunData } from './report-data.js';
import { type Settings, type Theme, type XScale, xScales } from './settings.js';

/** The controls of the curves; `changed` is called when something is set. */
export class Toolbar {
  readonly element: HTMLElement;
  readonly #settings: Settings;
  readonly #changed: () => void;
  readonly #runs = h('fieldset', { class: 'runs' });
  #shown = '';
  readonly #scales = new Map<XScale, HTMLOptionElement>();

  constructor(settings: Settings, changed: () => void) {
    this.#settings = settings;
    this.#changed = changed;
    this.element = h(
      'div',
      { class: 'toolbar', role: 'group', 'aria-label': 'How the curves are drawn' },
      this.#xControl(),
      this.#yControl(),
      this.#smoothingControl(),
      this.#runs,
    );
  }

  /** The runs, and which scales they know. What a person is at stays as it is where the runs are the same. */
  update(runs: readonly RunData[]): void {
    const unknown = {
      epoch: runs.every(({ stepsPerEpoch }) => stepsPerEpoch === null),
      pictures: runs.every(({ imagesPerStep }) => imagesPerStep === null),
    };
    for (const [scale, option] of this.#scales)
      option.disabled = scale in unknown && unknown[scale as 'epoch'];
    const shown = JSON.stringify([isDark(), runs.map(({ name, path }) => [name, path])]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#runs.replaceChildren(h('legend', { class: 'unseen' }, 'Runs that are drawn'));
    for (const [index, run] of runs.entries()) this.#runs.append(this.#runControl(run, index));
  }

  #runControl(run: RunData, index: number): HTMLElement {
    const { hidden } = this.#settings;
    const box = h('input', { type: 'checkbox', checked: !hidden.has(run.path) });
    box.addEventListener('change', () => {
      if (box.checked) hidden.delete(run.path);
      else hidden.add(run.path);
      this.#changed();
    });
    return h('label', {}, box, swatch(index), run.name);
  }

  #xControl(): HTMLElement {
    const select = h('select', { id: 'x-scale' });
    for (const [scale, label] of xScales) {
      const option = h('option', { value: scale, selected: scale === this.#settings.x }, label);
      this.#scales.set(scale, option);
      select.append(option);
    }
    select.addEventListener('change', () => {
      this.#settings.x = select.value as XScale;
      this.#changed();
    });
    return h('label', {}, 'x ', select);
  }

  #yControl(): HTMLElement {
    const box = h('input', { type: 'checkbox', id: 'log', checked: this.#settings.isLog });
    box.addEventListener('change', () => {
      this.#settings.isLog = box.checked;
      this.#changed();
    });
    return h('label', {}, box, 'logarithmic y');
  }

  #smoothingControl(): HTMLElement {
    const shown = h('output', {}, this.#settings.smoothing.toFixed(2));
    const slider = h('input', { type: 'range', id: 'smoothing', min: 0, max: 0.99, step: 0.01 });
    slider.value = `${this.#settings.smoothing}`;
    slider.addEventListener('input', () => {
      this.#settings.smoothing = Number(slider.value);
      shown.textContent = this.#settings.smoothing.toFixed(2);
      this.#changed();
    });
    return h('label', {}, 'smoothing ', slider, shown);
  }
}

const themes: readonly Theme[] = ['auto', 'light', 'dark'];

/** Goes from the browser's own theme to light, to dark, and back. */
export function themeButton(settings: Settings, changed: () => void): HTMLElement {
  const button = h('button', { type: 'button', id: 'theme' });
  const show = () => {
    const { theme } = settings;
    if (theme === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener('click', () => {
    settings.theme = themes[(themes.indexOf(settings.theme) + 1) % themes.length]!;
    show();
    changed();
  });
  show();
  return button;
}
