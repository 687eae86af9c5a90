import type { RgbPicture } from './encode-png.js';

/** Opaque RGBA of RGB. */
export function withAlpha({ data }: Pick<RgbPicture, 'data'>): Uint8Array {
  const rgba = new Uint8Array((data.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < data.length; from += 3, to += 4) {
    rgba[to] = data[from]!;
    rgba[to + 1] = data[from + 1]!;
    rgba[to + 2] = data[from + 2]!;
  }
  return rgba;
}
