/** Operators that put one level in the place of another, by a table, with the results of Pillow's `ImageOps`. */
import type { Picture } from './picture.js';

/** Tables of red, green and blue, and the numbers of pixels at each level: made once, filled for each picture. */
const tables = [new Uint8Array(256), new Uint8Array(256), new Uint8Array(256)] as const;
const counts = [new Uint32Array(256), new Uint32Array(256), new Uint32Array(256)] as const;

/** Stretches each channel to 0 … 255. */
export function autoContrast({ data }: Picture): void {
  count(data);
  for (let channel = 0; channel < 3; channel++) stretch(counts[channel]!, tables[channel]!);
  apply(data);
}

function stretch(counts: Uint32Array, table: Uint8Array): void {
  const low = counts.findIndex((n) => n > 0);
  const high = counts.findLastIndex((n) => n > 0);
  if (high <= low) {
    identity(table);
    return;
  }
  const scale = 255 / (high - low);
  const offset = -low * scale;
  for (let level = 0; level < 256; level++)
    table[level] = Math.max(0, Math.min(255, Math.trunc(level * scale + offset)));
}

/** Makes the levels of each channel about equally frequent. */
export function equalize({ data }: Picture): void {
  count(data);
  const pixels = data.length / 3;
  for (let channel = 0; channel < 3; channel++) flatten(counts[channel]!, pixels, tables[channel]!);
  apply(data);
}

function flatten(counts: Uint32Array, pixels: number, table: Uint8Array): void {
  const last = counts[counts.findLastIndex((n) => n > 0)]!;
  const step = Math.floor((pixels - last) / 255);
  if (step === 0) {
    identity(table); // also where there is one level
    return;
  }
  let n = Math.floor(step / 2);
  for (let level = 0; level < 256; level++) {
    table[level] = Math.min(255, Math.floor(n / step));
    n += counts[level]!;
  }
}

export function invert({ data }: Picture): void {
  for (let i = 0; i < data.length; i++) data[i] = 255 - data[i]!;
}

/** Keeps the highest bits of each level; none leaves black, as Pillow did before it refused that (13.0). */
export function posterize({ data }: Picture, bits: number): void {
  if (bits >= 8) return;
  const mask = bits <= 0 ? 0 : 256 - 2 ** (8 - bits);
  for (let i = 0; i < data.length; i++) data[i] = data[i]! & mask;
}

/** Inverts the levels from the threshold on. */
export function solarize({ data }: Picture, threshold: number): void {
  for (let i = 0; i < data.length; i++) {
    const level = data[i]!;
    data[i] = level < threshold ? level : 255 - level;
  }
}

/** Adds to the levels below 128. */
export function solarizeAdd({ data }: Picture, amount: number): void {
  for (let i = 0; i < data.length; i++) {
    const level = data[i]!;
    if (level < 128) data[i] = Math.min(255, level + amount);
  }
}

function identity(table: Uint8Array): void {
  for (let level = 0; level < 256; level++) table[level] = level;
}

function count(data: Uint8Array): void {
  const [red, green, blue] = counts;
  for (const each of counts) each.fill(0);
  for (let i = 0; i < data.length; i += 3) {
    red[data[i]!]!++;
    green[data[i + 1]!]!++;
    blue[data[i + 2]!]!++;
  }
}

function apply(data: Uint8Array): void {
  const [red, green, blue] = tables;
  for (let i = 0; i < data.length; i += 3) {
    data[i] = red[data[i]!]!;
    data[i + 1] = green[data[i + 1]!]!;
    data[i + 2] = blue[data[i + 2]!]!;
  }
}
