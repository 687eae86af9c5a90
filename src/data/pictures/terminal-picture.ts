/** Pictures as text that a terminal shows, each with its last line ended. */
import { encodePng, type RgbPicture } from './encode-png.js';
import { withAlpha } from './with-alpha.js';

const esc = '\u001b';
const stringEnd = `${esc}\\`;

/** Base64 in a piece of kitty's protocol, at most. */
const kittyPiece = 4096;

/** kitty's graphics protocol: a PNG in pieces, as many columns wide; the answers that it would give are not wanted. */
export function kittyPicture(picture: RgbPicture, columns: number): string {
  const data = encodePng(picture).toString('base64');
  const pieces: string[] = [];
  for (let start = 0; start < data.length; start += kittyPiece) {
    const isLast = start + kittyPiece >= data.length;
    const keys = `${start === 0 ? `a=T,f=100,c=${columns},q=2,` : ''}m=${isLast ? 0 : 1}`;
    pieces.push(`${esc}_G${keys};${data.slice(start, start + kittyPiece)}${stringEnd}`);
  }
  return `${pieces.join('')}\n`;
}

/** iTerm2's inline images: a PNG, as many columns wide. */
export function iterm2Picture(picture: RgbPicture, columns: number): string {
  const png = encodePng(picture);
  const keys = `inline=1;size=${png.length};width=${columns};preserveAspectRatio=1`;
  return `${esc}]1337;File=${keys}:${png.toString('base64')}\u0007\n`;
}

/** Sixels in 256 colours of the picture's own. */
export async function sixelPicture(picture: RgbPicture): Promise<string> {
  const { image2sixel } = await import('sixel');
  return `${image2sixel(withAlpha(picture), picture.width, picture.height, 256)}\n`;
}

/** Colours that a terminal has. */
export type BlockColours = 'true' | '256' | 'none';

/**
 * A character for two pixels, one above the other: its upper half in the colour of its text, the rest in that behind it.
 * Without colours a character for four levels of brightness.
 */
export function blockPicture({ width, height, data }: RgbPicture, colours: BlockColours): string {
  const pixel = (x: number, y: number): Rgb => {
    const at = (y * width + x) * 3;
    return [data[at]!, data[at + 1]!, data[at + 2]!];
  };
  const lines: string[] = [];
  for (let y = 0; y < height; y += 2) {
    let line = '';
    let before = '';
    for (let x = 0; x < width; x++) {
      const [upper, lower] = [pixel(x, y), y + 1 < height ? pixel(x, y + 1) : undefined];
      if (colours === 'none') {
        line += shadeOf(upper, lower ?? upper);
        continue;
      }
      const colour = `${codeOf(38, upper, colours)};${lower === undefined ? '49' : codeOf(48, lower, colours)}`;
      line += `${colour === before ? '' : `${esc}[${colour}m`}▀`;
      before = colour;
    }
    lines.push(colours === 'none' ? line.trimEnd() : `${line}${esc}[0m`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

type Rgb = readonly [red: number, green: number, blue: number];

/** SGR of a colour: 38 of the text, 48 behind it. */
function codeOf(what: 38 | 48, colour: Rgb, colours: BlockColours): string {
  return colours === 'true' ? `${what};2;${colour.join(';')}` : `${what};5;${nearestOf256(colour)}`;
}

/** Of the colours that no terminal's owner chooses: xterm's cube of 6³ from 16 on, and 24 greys from 232 on. */
export function nearestOf256(colour: Rgb): number {
  const cube = colour.map((value) => (value < 48 ? 0 : value < 115 ? 1 : Math.trunc((value - 35) / 40)));
  const mean = colour.reduce((sum, value) => sum + value) / 3;
  const grey = Math.max(0, Math.min(23, Math.round((mean - 8) / 10)));
  const distance = (to: readonly number[]) =>
    colour.reduce((sum, value, channel) => sum + (value - to[channel]!) ** 2, 0);
  const inCube = cube.map((step) => (step === 0 ? 0 : 55 + 40 * step));
  const level = 8 + 10 * grey;
  if (distance([level, level, level]) < distance(inCube)) return 232 + grey;
  return 16 + 36 * cube[0]! + 6 * cube[1]! + cube[2]!;
}

/** The brighter, the fuller: most terminals are dark. */
const shades = ' ░▒▓█';

function shadeOf(upper: Rgb, lower: Rgb): string {
  const brightness = ([red, green, blue]: Rgb) => 0.299 * red + 0.587 * green + 0.114 * blue;
  const mean = (brightness(upper) + brightness(lower)) / 2;
  return shades[Math.min(shades.length - 1, Math.floor((mean / 256) * shades.length))]!;
}
