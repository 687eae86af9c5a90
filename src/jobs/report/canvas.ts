import { encodePng, type RgbPicture } from '../../data/pictures/encode-png.js';
import type { Picture } from '../../page/report-data.js';
import { pngUrl } from './sheets.js';

/** Between tiles: light, so that tiles part, and not as bright as a dark page's text. */
const gapGrey = 232;

export type Colour = readonly [red: number, green: number, blue: number];

/** A picture of tiles of one size, `gap` pixels apart, in rows of `columns`. */
export class TileCanvas implements RgbPicture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
  readonly #tile: { readonly width: number; readonly height: number };
  readonly #columns: number;
  readonly #gap: number;

  constructor(
    tile: { readonly width: number; readonly height: number },
    count: number,
    columns: number,
    gap: number,
  ) {
    this.#tile = tile;
    this.#columns = columns;
    this.#gap = gap;
    this.width = columns * (tile.width + gap) - gap;
    this.height = Math.ceil(count / columns) * (tile.height + gap) - gap;
    this.data = new Uint8Array(this.width * this.height * 3).fill(gapGrey);
  }

  /** Fills the tile of a number by what `colourOf` says of its pixels. */
  fill(tile: number, colourOf: (y: number, x: number) => Colour): void {
    const { width, height } = this.#tile;
    const top = Math.floor(tile / this.#columns) * (height + this.#gap);
    const left = (tile % this.#columns) * (width + this.#gap);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) this.data.set(colourOf(y, x), ((top + y) * this.width + left + x) * 3);
    }
  }

  picture(): Picture {
    return { src: pngUrl(encodePng(this)), width: this.width, height: this.height };
  }
}

/** Stops of matplotlib's viridis: grows in lightness, and reads without red and green. */
const viridis: readonly Colour[] = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
];

/** A number of 0 to 1 as a colour. */
export function viridisColour(value: number): Colour {
  const at = Math.min(1, Math.max(0, value)) * (viridis.length - 1);
  const below = Math.min(viridis.length - 2, Math.floor(at));
  return mixed(viridis[below]!, viridis[below + 1]!, at - below);
}

/** `share` of the second colour. */
export function mixed(a: Colour, b: Colour, share: number): Colour {
  const part = (channel: 0 | 1 | 2) => Math.round(a[channel] + (b[channel] - a[channel]) * share);
  return [part(0), part(1), part(2)];
}
