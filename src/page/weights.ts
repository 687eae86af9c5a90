/** What can be seen of the weights of the runs. */
import { h, picture, scrolled } from './dom.js';
import { number } from './format.js';
import type { AttentionMaps, Filters, PositionMaps, RunData, WeightPictures } from './report-data.js';

export function weights(runs: readonly RunData[]): Node[] {
  return runs.flatMap(({ name, weights: pictures }) => (pictures === null ? [] : [ofRun(name, pictures)]));
}

function ofRun(name: string, { checkpoint, filters, earlier, positions, attention }: WeightPictures): Node {
  return h(
    'div',
    {},
    h('h3', {}, `${name}, ${checkpoint}`),
    attention === null ? null : attentionFigure(attention),
    h(
      'div',
      { class: 'side' },
      earlier === null ? null : filterFigure(`Patch filters at ${earlier.checkpoint}`, earlier, ''),
      filterFigure(
        `Patch filters at ${checkpoint}`,
        filters,
        earlier === null
          ? ''
          : ` They moved by ${number(Number((100 * earlier.change).toPrecision(2)))} % of their norm since.`,
      ),
      positions === null ? null : positionFigure(positions),
    ),
  );
}

function attentionFigure({ heads, block, images }: AttentionMaps): HTMLElement {
  const about =
    `Attention of the class token in the last block (${block}), a map for each of ${heads} heads beside the picture: ` +
    'yellow where it looks most, each map by its own largest number.';
  const rows = images.map((image) => picture(image, `${image.name}, and what ${heads} heads look at`));
  return h(
    'figure',
    {},
    h('figcaption', {}, about),
    scrolled('Attention maps', h('div', { class: 'rows' }, ...rows)),
  );
}

function filterFigure(title: string, { picture: tiles, shown, total }: Filters, more: string): HTMLElement {
  const which =
    shown === total ? `${total} filters` : `the ${shown} of ${total} filters with the largest weights`;
  return h(
    'figure',
    {},
    h(
      'figcaption',
      {},
      h('b', {}, title),
      h('br'),
      `${which}, grey is 0, each by its own largest number.${more}`,
    ),
    scrolled(title, picture(tiles, `${title}: ${which}`, scaleTo(tiles.width, 320))),
  );
}

function positionFigure({ picture: maps, rows, columns, low, high }: PositionMaps): HTMLElement {
  const about =
    `${rows} × ${columns} maps, one for each place: the cosine similarity of its position with all places, from ` +
    `${number(low)} (dark) to ${number(high)} (bright).`;
  return h(
    'figure',
    {},
    h('figcaption', {}, h('b', {}, 'Similarity of positions'), h('br'), about),
    scrolled('Similarity of positions', picture(maps, about, scaleTo(maps.width, 320))),
  );
}

/** A whole factor, so that pixels stay squares. */
function scaleTo(width: number, wanted: number): number {
  return Math.max(1, Math.floor(wanted / width));
}
