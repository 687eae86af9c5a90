/** Elements with their attributes; text is always text, never markup. */

type Child = Node | string | null;
type Attributes = Readonly<Record<string, string | number | boolean | null | EventListener>>;

/** `on…` attributes are listeners; null and false leave one out. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? '' : `${value}`);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A table that scrolls in its own box where it is too wide. */
export function table(
  label: string,
  header: readonly Child[],
  rows: readonly (readonly Child[])[],
): HTMLElement {
  const cells = (row: readonly Child[]) =>
    row.map((cell, i) => (i === 0 ? h('th', { scope: 'row' }, cell) : h('td', {}, cell)));
  return scrolled(
    label,
    h(
      'table',
      {},
      h('thead', {}, h('tr', {}, ...header.map((cell) => h('th', { scope: 'col' }, cell)))),
      h('tbody', {}, ...rows.map((row) => h('tr', {}, ...cells(row)))),
    ),
  );
}

/** A box that scrolls sideways, by keys too. */
export function scrolled(label: string, ...children: Child[]): HTMLElement {
  return h('div', { class: 'scrolled', tabindex: 0, role: 'region', 'aria-label': label }, ...children);
}

export function picture(
  { src, width, height }: { readonly src: string; readonly width: number; readonly height: number },
  alt: string,
  scale = 1,
): HTMLImageElement {
  const size = { width: Math.round(width * scale), height: Math.round(height * scale) };
  return h('img', { src, alt, ...size, class: scale > 1 ? 'pixels' : null });
}
