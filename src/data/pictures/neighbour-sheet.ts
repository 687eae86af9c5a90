import { pngWithPictures, shortened, text } from './svg.js';

/** A picture with its class. */
export interface Shown {
  /** uint8 [side, side, 3] */
  readonly pixels: Uint8Array;
  readonly className: string;
}

export interface NeighbourRow {
  readonly query: Shown;
  /** The nearest first. */
  readonly neighbours: readonly (Shown & { readonly isSame: boolean })[];
}

export const pictureSide = 96;
const gap = 10;
const border = 4;
const nameHeight = 18;
const top = 64;
const columnGap = 24;

/** Queries with their neighbours as a PNG, a row each: green frames for the class of the query, red ones for others. */
export function neighbourSheet(rows: readonly NeighbourRow[], title: string): Promise<Buffer> {
  const step = pictureSide + 2 * border + gap;
  const rowStep = step + nameHeight;
  const columns = Math.max(...rows.map(({ neighbours }) => neighbours.length));
  const width = 2 * gap + (columns + 1) * step + columnGap;
  const height = top + rows.length * rowStep + gap;
  const elements = [
    text({ x: gap, y: 20, text: title, size: 15 }),
    text({ x: gap, y: 46, text: 'asked for', size: 13, fill: '#555' }),
    text({
      x: gap + step + columnGap,
      y: 46,
      text: 'nearest training images; green: same class, red: another',
      size: 13,
      fill: '#555',
    }),
  ];
  const pictures: { x: number; y: number; pixels: Uint8Array }[] = [];
  const place = (x: number, y: number, { pixels, className }: Shown, colour: string) => {
    const side = pictureSide + 2 * border;
    elements.push(
      `<rect x="${x}" y="${y}" width="${side}" height="${side}" fill="${colour}"/>`,
      text({
        x: x + side / 2,
        y: y + side + nameHeight / 2,
        text: shortened(className, 17),
        size: 11,
        anchor: 'middle',
        fill: colour,
      }),
    );
    pictures.push({ x: x + border, y: y + border, pixels });
  };
  for (const [row, { query, neighbours }] of rows.entries()) {
    const y = top + row * rowStep;
    place(gap, y, query, '#333');
    for (const [column, neighbour] of neighbours.entries()) {
      place(gap + columnGap + (column + 1) * step, y, neighbour, neighbour.isSame ? '#1a9641' : '#d7191c');
    }
  }
  return pngWithPictures(elements, { width, height }, pictures, pictureSide);
}
