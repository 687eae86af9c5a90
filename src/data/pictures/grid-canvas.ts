import type { RgbPicture } from './encode-png.js';

interface Size {
  readonly height: number;
  readonly width: number;
}

/** How pictures of one size stand in rows and columns: enlarged by `scale`, with white gaps around them. */
export interface GridLayout {
  readonly scale: number;
  readonly gap: number;
  readonly tile: Size;
}

/** @param smallest pixels of a tile's longer side: smaller pictures are enlarged by whole factors to at least that */
export function gridLayout({ height, width }: Size, smallest: number): GridLayout {
  const scale = Math.max(1, Math.ceil(smallest / Math.max(height, width)));
  return { scale, gap: 8, tile: { height: height * scale, width: width * scale } };
}

/** The size of the whole. */
export function gridSize({ gap, tile }: GridLayout, rows: number, columns: number): Size {
  return { height: rows * (tile.height + gap) + gap, width: columns * (tile.width + gap) + gap };
}

/**
 * Rows of pictures as one.
 *
 * @param rows uint8 [height, width, 3] each; every row has as many pictures.
 */
export function gridCanvas(rows: readonly (readonly Uint8Array[])[], layout: GridLayout): RgbPicture {
  const { scale, gap, tile } = layout;
  const whole = gridSize(layout, rows.length, rows[0]!.length);
  const data = new Uint8Array(whole.width * whole.height * 3).fill(255);
  const width = tile.width / scale;
  rows.forEach((row, r) => {
    row.forEach((picture, column) => {
      const top = gap + r * (tile.height + gap);
      const left = gap + column * (tile.width + gap);
      for (let y = 0; y < tile.height; y++) {
        const source = Math.floor(y / scale) * width;
        let target = ((top + y) * whole.width + left) * 3;
        for (let x = 0; x < tile.width; x++) {
          const pixel = (source + Math.floor(x / scale)) * 3;
          data[target++] = picture[pixel]!;
          data[target++] = picture[pixel + 1]!;
          data[target++] = picture[pixel + 2]!;
        }
      }
    });
  });
  return { ...whole, data };
}
