/** Pictures as a terminal's text, read back by other decoders than those that wrote them. */
import { Terminal } from '@xterm/headless';
import sharp from 'sharp';
import { describe, expect, test } from 'vitest';
import type { RgbPicture } from '../../../src/data/pictures/encode-png.js';
import {
  blockPicture,
  iterm2Picture,
  kittyPicture,
  nearestOf256,
  sixelPicture,
} from '../../../src/data/pictures/terminal-picture.js';
import { randomBytes } from '../../support/random.js';

const picture: RgbPicture = { width: 60, height: 41, data: randomBytes(1, 60 * 41 * 3) };

async function expectPixels(png: Buffer): Promise<void> {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  expect(info).toMatchObject({ format: 'raw', width: 60, height: 41, channels: 3 });
  expect(data.equals(picture.data)).toBe(true);
}

const esc = '\u001b';

test('kitty: pieces of at most 4096 characters, the last one says so, together the PNG', async () => {
  const text = kittyPicture(picture, 30);
  expect(text.endsWith(`${esc}\\\n`)).toBe(true);
  const pieces = text
    .slice(0, -`${esc}\\\n`.length)
    .split(`${esc}\\`)
    .map((piece) => {
      expect(piece.startsWith(`${esc}_G`)).toBe(true);
      const [keys, data] = piece.slice(3).split(';') as [string, string];
      return { keys: Object.fromEntries(keys.split(',').map((key) => key.split('='))), data };
    });
  expect(pieces.length).toBeGreaterThan(2);
  expect(pieces[0]!.keys).toEqual({ a: 'T', f: '100', c: '30', q: '2', m: '1' });
  for (const { keys } of pieces.slice(1, -1)) expect(keys).toEqual({ m: '1' });
  expect(pieces.at(-1)!.keys).toEqual({ m: '0' });
  for (const { data } of pieces.slice(0, -1)) expect(data.length).toBe(4096);
  await expectPixels(Buffer.from(pieces.map(({ data }) => data).join(''), 'base64'));
  const small = kittyPicture({ width: 1, height: 1, data: Uint8Array.of(1, 2, 3) }, 1);
  expect(small).toContain('a=T,f=100,c=1,q=2,m=0;');
});

test('iTerm2: the PNG with its size', async () => {
  const [, size, width, data] =
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the protocol's own
    /^\u001b\]1337;File=inline=1;size=(\d+);width=(\d+);preserveAspectRatio=1:([\w+/=]+)\u0007\n$/.exec(
      iterm2Picture(picture, 30),
    )!;
  const png = Buffer.from(data!, 'base64');
  expect([Number(size), Number(width)]).toEqual([png.length, 30]);
  await expectPixels(png);
});

/** A decoder of what DEC's manual says: raster attributes, colours in percent, repeats, returns, new lines. */
function decodeSixel(text: string): RgbPicture {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the protocol's own
  const [, body] = /^\u001bP[\d;]*q(.*)\u001b\\\n$/s.exec(text)!;
  const [, w, h] = /^"1;1;(\d+);(\d+)/.exec(body!)!;
  const [width, height] = [Number(w), Number(h)];
  const data = new Uint8Array(width * height * 3);
  const palette = new Map<string, number[]>();
  let [x, top, colour] = [0, 0, [0, 0, 0]];
  for (const [token, register, rgb, repeat, sixel] of body!
    .slice(`"1;1;${w};${h}`.length)
    .matchAll(/#(\d+)(?:;2;(\d+;\d+;\d+))?|!(\d+)([?-~])|[?-~]|\$|-/g)) {
    if (token === '$') x = 0;
    else if (token === '-') [x, top] = [0, top + 6];
    else if (register !== undefined) {
      if (rgb !== undefined)
        palette.set(
          register,
          rgb.split(';').map((share) => Math.round(2.55 * Number(share))),
        );
      colour = palette.get(register)!;
    } else {
      const bits = (sixel ?? token).charCodeAt(0) - 63;
      for (let i = 0; i < Number(repeat ?? 1); i++, x++) {
        for (let bit = 0; bit < 6; bit++)
          if (bits & (1 << bit)) data.set(colour, ((top + bit) * width + x) * 3);
      }
    }
  }
  return { width, height, data };
}

describe('sixels', () => {
  test('few colours are exact', async () => {
    // a percent of the colours of DEC's terminals is 2.55
    const levels = [0, 51, 102, 255];
    const data = randomBytes(2, 37 * 23 * 3).map((byte) => levels[byte & 3]!);
    expect(decodeSixel(await sixelPicture({ width: 37, height: 23, data }))).toEqual({
      width: 37,
      height: 23,
      data,
    });
  });

  test('many are near', async () => {
    const data = new Uint8Array(64 * 64 * 3);
    for (let i = 0; i < data.length; i++)
      data[i] = [4 * (Math.floor(i / 3) % 64), 4 * Math.floor(i / 192), 128][i % 3]!;
    const decoded = decodeSixel(await sixelPicture({ width: 64, height: 64, data: data.slice() }));
    const off = data.reduce((sum, value, i) => sum + Math.abs(value - decoded.data[i]!), 0) / data.length;
    expect(off).toBeLessThan(8);
  });
});

interface Cell {
  readonly text: string;
  readonly foreground: number | undefined;
  readonly background: number | undefined;
}

/** Cells of a terminal that a text is written to. */
async function cellsOf(text: string, columns: number, rows: number): Promise<Cell[][]> {
  const terminal = new Terminal({ cols: columns, rows: rows + 1, convertEol: true, allowProposedApi: true });
  await new Promise<void>((done) => terminal.write(text, done));
  const { active } = terminal.buffer;
  expect([active.cursorX, active.cursorY + active.baseY]).toEqual([0, rows]);
  return Array.from({ length: rows }, (_, y) =>
    Array.from({ length: columns }, (_, x) => {
      const cell = active.getLine(y)!.getCell(x)!;
      return {
        text: cell.getChars(),
        foreground: cell.isFgDefault() ? undefined : cell.getFgColor(),
        background: cell.isBgDefault() ? undefined : cell.getBgColor(),
      };
    }),
  );
}

/** xterm's colours from 16 on. */
const xterm256 = Array.from({ length: 240 }, (_, i) => {
  if (i >= 216) return [0, 0, 0].map(() => 8 + 10 * (i - 216));
  return [36, 6, 1].map((unit) => [0, 95, 135, 175, 215, 255][Math.floor(i / unit) % 6]!);
});

describe('half blocks', () => {
  const { width, height, data } = picture;
  const at = (x: number, y: number) => [...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)];
  const rows = Math.ceil(height / 2);

  test.each([
    ['true', (rgb: number[]) => rgb.reduce((sum, value) => sum * 256 + value)],
    ['256', (rgb: number[]) => nearestOf256(rgb as [number, number, number])],
  ] as const)('%s colours: two pixels a cell, the last row may be one', async (colours, codeOf) => {
    const text = blockPicture(picture, colours);
    expect(text.split('\n')).toHaveLength(rows + 1);
    const cells = await cellsOf(text, width, rows);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < width; x++) {
        expect(cells[y]![x]).toEqual({
          text: '▀',
          foreground: codeOf(at(x, 2 * y)),
          background: 2 * y + 1 < height ? codeOf(at(x, 2 * y + 1)) : undefined,
        });
      }
    }
  });

  test('the nearest of 256 is', () => {
    for (let i = 0; i < data.length; i += 3) {
      const rgb = [...data.subarray(i, i + 3)];
      const distance = (colour: readonly number[]) =>
        colour.reduce((sum, value, channel) => sum + (value - rgb[channel]!) ** 2, 0);
      const found = distance(xterm256[nearestOf256(rgb as [number, number, number]) - 16]!);
      expect(found).toBe(Math.min(...xterm256.map(distance)));
    }
    for (const [i, colour] of xterm256.entries())
      expect(xterm256[nearestOf256(colour as [number, number, number]) - 16], `${i}`).toEqual(colour);
  });

  test('runs of one colour have one code', () => {
    const grey = { width: 5, height: 2, data: new Uint8Array(30).fill(80) };
    expect(blockPicture(grey, 'true')).toBe(`${esc}[38;2;80;80;80;48;2;80;80;80m▀▀▀▀▀${esc}[0m\n`);
  });

  test('without colours: brightness as characters, no escapes', () => {
    const steps = {
      width: 5,
      height: 1,
      data: Uint8Array.from({ length: 15 }, (_, i) => 60 * Math.floor(i / 3)),
    };
    expect(blockPicture(steps, 'none')).toBe(' ░▒▓█\n');
  });
});
