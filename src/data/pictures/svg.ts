import { printable } from '../../util/printable.js';
import { namesSoftware } from './exif.js';
import { neededSharp, type SharpModule } from './load-sharp.js';

/** One line of text in a picture. */
export interface Text {
  readonly x: number;
  /** The middle of the letters' height. */
  readonly y: number;
  readonly text: string;
  readonly size: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly fill?: string;
  /** Degrees, about (x, y). */
  readonly turn?: number;
}

export function text({ x, y, text, size, anchor = 'start', fill = '#222', turn }: Text): string {
  const turned = turn === undefined ? '' : ` transform="rotate(${turn} ${x} ${y})"`;
  // librsvg knows no dominant-baseline: letters are about 0.7 of their size high
  return (
    `<text x="${x}" y="${y}" dy="0.35em" font-family="sans-serif" font-size="${size}" text-anchor="${anchor}" ` +
    `fill="${fill}"${turned}>${escaped(text)}</text>`
  );
}

/** Pixels that a text takes at most, about. */
export function widthOf(text: string, size: number): number {
  return Math.ceil([...text].length * size * 0.62);
}

/** A text of at most so many characters. */
export function shortened(text: string, most: number): string {
  const characters = [...text];
  return characters.length <= most ? text : `${characters.slice(0, most - 1).join('')}…`;
}

/** Elements on white, as PNG. */
export async function png(elements: readonly string[], width: number, height: number): Promise<Buffer> {
  const sharp = await chartSharp();
  return sharp(Buffer.from(svg(elements, width, height)))
    .flatten({ background: '#fff' })
    .png()
    .withExif({ IFD0: { Software: writtenBy } })
    .toBuffer();
}

/** EXIF's Software: a picture that says this may be written again. */
const writtenBy = 'mae evaluate';

/** Whether a file is a picture that was written here. */
export function isChart(path: string): Promise<boolean> {
  return namesSoftware(path, writtenBy);
}

/** What draws charts; a UserError where it does not load. */
export function chartSharp(): Promise<SharpModule> {
  return neededSharp('--output: expected sharp, which draws the charts', 'leave --output out');
}

/** A picture over others: `pictures` are uint8 [side, side, 3]. */
export async function pngWithPictures(
  elements: readonly string[],
  { width, height }: { readonly width: number; readonly height: number },
  pictures: readonly { readonly x: number; readonly y: number; readonly pixels: Uint8Array }[],
  side: number,
): Promise<Buffer> {
  const sharp = await chartSharp();
  const canvas = await sharp(Buffer.from(svg(elements, width, height)))
    .flatten({ background: '#fff' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { data, info } = canvas;
  for (const { x, y, pixels } of pictures) {
    for (let row = 0; row < side; row++) {
      const line = pixels.subarray(row * side * 3, (row + 1) * side * 3);
      for (let column = 0; column < side; column++) {
        const at = ((y + row) * width + x + column) * info.channels;
        data.set(line.subarray(column * 3, column * 3 + 3), at);
      }
    }
  }
  return sharp(data, { raw: { width, height, channels: info.channels } })
    .png()
    .withExif({ IFD0: { Software: writtenBy } })
    .toBuffer();
}

function svg(elements: readonly string[], width: number, height: number): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${elements.join('')}</svg>`;
}

/** Names of files and folders may hold anything; XML takes no control characters. */
function escaped(text: string): string {
  const entities: Readonly<Record<string, string>> = {
    '&': '&amp;',
    '<': '&lt;',
    '>': '&gt;',
    '"': '&quot;',
  };
  return printable(text.replace(/[\ufffe\uffff]/g, '\ufffd')).replace(
    /[&<>"]/g,
    (character) => entities[character]!,
  );
}
