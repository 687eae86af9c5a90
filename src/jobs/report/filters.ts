import type { Filters, PositionMaps } from '../../page/report-data.js';
import { TileCanvas, viridisColour } from './canvas.js';

/** Filters that are shown; of more, those with the largest weights. */
const mostFilters = 256;
const filterColumns = 16;

export interface PatchEmbedding {
  /** float32 [D, 3, p, p] */
  readonly weight: Float32Array;
  readonly patchSize: number;
}

/**
 * The order in which filters are shown, the largest norm first. Both pictures of a run have that of its last weights, so
 * that tiles can be compared.
 */
export function filterOrder({ weight, patchSize }: PatchEmbedding): number[] {
  const size = 3 * patchSize ** 2;
  const norms = Array.from({ length: weight.length / size }, (_, filter) =>
    Math.hypot(...weight.subarray(filter * size, (filter + 1) * size)),
  );
  return [...norms.keys()].sort((a, b) => norms[b]! - norms[a]!).slice(0, mostFilters);
}

/** Filters as RGB tiles: 0 is grey, each by its own largest number. */
export function filterTiles({ weight, patchSize }: PatchEmbedding, order: readonly number[]): Filters {
  const area = patchSize ** 2;
  const tiles = new TileCanvas({ width: patchSize, height: patchSize }, order.length, filterColumns, 1);
  for (const [tile, filter] of order.entries()) {
    const numbers = weight.subarray(filter * 3 * area, (filter + 1) * 3 * area);
    const largest = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-12);
    const byte = (place: number) => Math.round(127.5 * (1 + numbers[place]! / largest));
    tiles.fill(tile, (y, x) => {
      const place = y * patchSize + x;
      return [byte(place), byte(area + place), byte(2 * area + place)];
    });
  }
  return { picture: tiles.picture(), shown: order.length, total: weight.length / (3 * area) };
}

/** ‖last − first‖ / ‖first‖ */
export function relativeChange(first: Float32Array, last: Float32Array): number {
  let [moved, norm] = [0, 0];
  for (const [i, x] of first.entries()) {
    moved += (last[i]! - x) ** 2;
    norm += x ** 2;
  }
  return Math.sqrt(moved / norm);
}

/** Maps a side that are shown; of more places some are left out between. */
const mostMaps = 16;

/**
 * Cosine similarity of the position embeddings: for each place of the grid a map of its similarity with all places, as in
 * figure 7 of Dosovitskiy et al. (2021).
 *
 * @param table float32 [1, 1 + L, D], the class token's row first
 */
export function positionMaps(
  table: Float32Array,
  { rows, columns }: { readonly rows: number; readonly columns: number },
): PositionMaps {
  const similarity = cosines(table, rows * columns);
  const [shownRows, shownColumns] = [places(rows), places(columns)];
  const shown = shownRows.flatMap((row) => shownColumns.map((column) => row * columns + column));
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const place of shown) {
    for (const value of similarity(place)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  }
  const maps = new TileCanvas({ width: columns, height: rows }, shown.length, shownColumns.length, 1);
  for (const [tile, place] of shown.entries()) {
    const values = similarity(place);
    maps.fill(tile, (y, x) => viridisColour((values[y * columns + x]! - low) / (high - low || 1)));
  }
  return { picture: maps.picture(), rows: shownRows.length, columns: shownColumns.length, low, high };
}

function places(count: number): number[] {
  const step = Math.ceil(count / mostMaps);
  return Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
}

/** The similarities of a place with all. */
export function cosines(table: Float32Array, count: number): (place: number) => Float64Array {
  const width = table.length / (count + 1);
  const row = (place: number) => table.subarray((place + 1) * width, (place + 2) * width);
  const norms = Array.from({ length: count }, (_, place) => Math.hypot(...row(place)) || 1);
  return (place) => {
    const one = row(place);
    return Float64Array.from({ length: count }, (_, other) => {
      const two = row(other);
      return one.reduce((sum, x, i) => sum + x * two[i]!, 0) / norms[place]! / norms[other]!;
    });
  };
}
