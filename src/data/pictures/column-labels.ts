import type { RgbPicture } from './encode-png.js';
import type { GridLayout } from './grid-canvas.js';

/** The three pixels of each of a letter's five rows as an octal digit: 4 is the left one. */
const letters: Readonly<Record<string, string>> = {
  ...{ 0: '75557', 1: '26227', 2: '71747', 3: '71717', 4: '55711' },
  ...{ 5: '74717', 6: '74757', 7: '71111', 8: '75757', 9: '75717' },
  ...{ S: '74717', T: '72222', E: '74747', P: '75744', ' ': '00000' },
};
const [rows, columns] = [5, 3];
/** Pixels of the picture for one of a letter. */
const zoom = 3;

/** Pixels that a text takes. */
export const labelWidth = (text: string) => text.length * (columns + 1) * zoom;

/** Pixels of the band that labels stand in. */
const bandOf = ({ gap }: GridLayout) => gap + rows * zoom;

/** The height of a grid with labels above it. */
export const labelledHeight = (height: number, layout: GridLayout) => height + bandOf(layout);

/**
 * A grid with labels above its columns, in black on white.
 *
 * @param labels of the columns from the left: of these letters, and no wider than a tile
 */
export function withColumnLabels(
  { width, height, data }: RgbPicture,
  layout: GridLayout,
  labels: readonly string[],
): RgbPicture {
  const { gap, tile } = layout;
  const labelled = new Uint8Array((bandOf(layout) + height) * width * 3).fill(255);
  labelled.set(data, bandOf(layout) * width * 3);
  const blacken = (left: number, top: number) => {
    for (let y = top; y < top + zoom; y++)
      labelled.fill(0, (y * width + left) * 3, (y * width + left + zoom) * 3);
  };
  labels.forEach((label, column) => {
    [...label].forEach((letter, place) => {
      const left = gap + column * (tile.width + gap) + labelWidth(label.slice(0, place));
      const shape = letters[letter]!;
      for (let row = 0; row < rows; row++) {
        for (let x = 0; x < columns; x++) {
          const isBlack = Number(shape[row]) & (4 >> x);
          if (isBlack) blacken(left + x * zoom, gap + row * zoom);
        }
      }
    });
  });
  return { width, height: labelledHeight(height, layout), data: labelled };
}
