/** `--show`: a picture printed into the terminal. */
import type { RgbPicture } from '../data/pictures/encode-png.js';
import {
  blockPicture,
  iterm2Picture,
  kittyPicture,
  sixelPicture,
} from '../data/pictures/terminal-picture.js';
import { BicubicResampler } from '../data/resample.js';
import { UserError } from '../util/errors.js';
import { choice } from './flags.js';
import { askAttributes, bestWay, blockColours, type Way } from './terminal-graphics.js';

const ways = ['auto', 'kitty', 'iterm2', 'sixel', 'blocks'] as const;
type Show = (typeof ways)[number];

/** `--show` alone is `--show=auto`; see `withShownAs`. */
export const showFlag = {
  type: 'string',
  coerce: choice('show', ways),
  describe:
    'Print the picture into the terminal too: --show as it can best, or --show=kitty, iterm2, sixel or blocks (half blocks)',
} as const;

/** A UserError where a picture cannot be shown so: before any work. */
export function checkedShow({ show, json }: { show?: Show | undefined; json: boolean }): Show | undefined {
  if (show === undefined) return undefined;
  if (json) throw new UserError('--show: expected --show or --json, got both; leave one of them out');
  if (show === 'auto' && !process.stdout.isTTY) {
    throw new UserError(
      '--show: expected a terminal on standard output, got a file or a pipe; --show=blocks prints there too',
    );
  }
  return show;
}

/** Pixels of a character's width, about: pictures are shown in their size where the terminal is wide enough. */
const cellWidth = 8;
/** Larger sixel pictures are cut off by xterm. */
const sixelSide = 1000;

export async function showPicture(picture: RgbPicture, show: Show): Promise<void> {
  const way = show === 'auto' ? await bestWay(() => askAttributes(process.stdin, process.stdout)) : show;
  const text = await textOf(picture, way);
  await new Promise<void>((resolve) => process.stdout.write(text, () => resolve()));
}

async function textOf(picture: RgbPicture, way: Way): Promise<string> {
  const columns = process.stdout.columns || Number(process.env['COLUMNS']) || 80;
  const natural = Math.min(columns, Math.ceil(picture.width / cellWidth));
  if (way === 'kitty') return kittyPicture(picture, natural);
  if (way === 'iterm2') return iterm2Picture(picture, natural);
  if (way === 'sixel') {
    const width = Math.min(columns * cellWidth, sixelSide, (sixelSide * picture.width) / picture.height);
    return await sixelPicture(shrunk(picture, width));
  }
  return blockPicture(shrunk(picture, columns), blockColours(process.env));
}

/** Made as narrow as that, if it is wider. */
export function shrunk(picture: RgbPicture, most: number): RgbPicture {
  const width = Math.max(1, Math.floor(most));
  if (picture.width <= width) return picture;
  const height = Math.max(1, Math.round((picture.height * width) / picture.width));
  const data = new Uint8Array(width * height * 3);
  const whole = { left: 0, top: 0, width: picture.width, height: picture.height };
  new BicubicResampler().resample(picture, whole, data, height, width);
  return { width, height, data };
}
