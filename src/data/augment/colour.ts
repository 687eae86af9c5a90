/**
 * The operators of Pillow's `ImageEnhance`, pixel by pixel: a picture is blended with a poorer one of itself. A factor of 0
 * gives the poorer one, 1 the picture, and more goes beyond.
 */
import type { Picture } from './picture.js';

/** factor · difference of two levels, at 255 + difference, in float32 as Pillow computes it. */
const products = new Float32Array(511);

/** Blends with its grey. */
export function color({ data }: Picture, factor: number): void {
  if (!prepare(factor)) return;
  for (let i = 0; i < data.length; i += 3) {
    const red = data[i]!;
    const green = data[i + 1]!;
    const blue = data[i + 2]!;
    const grey = luma(red, green, blue);
    data[i] = blend(grey, red);
    data[i + 1] = blend(grey, green);
    data[i + 2] = blend(grey, blue);
  }
}

/** Blends with the mean of its grey. */
export function contrast({ data }: Picture, factor: number): void {
  if (!prepare(factor)) return;
  let sum = 0;
  for (let i = 0; i < data.length; i += 3) sum += luma(data[i]!, data[i + 1]!, data[i + 2]!);
  blendWithLevel(data, Math.trunc(sum / (data.length / 3) + 0.5));
}

/** Blends with black. */
export function brightness({ data }: Picture, factor: number): void {
  if (prepare(factor)) blendWithLevel(data, 0);
}

const table = new Uint8Array(256);

function blendWithLevel(data: Uint8Array, level: number): void {
  for (let value = 0; value < 256; value++) table[value] = blend(level, value);
  for (let i = 0; i < data.length; i++) data[i] = table[data[i]!]!;
}

/** round(sum / 13) of the nine weights below; no sum lies between two levels. */
const thirteenths = Uint8Array.from({ length: 255 * 13 + 1 }, (_, sum) => Math.round(sum / 13));

/** Blends with itself smoothed by [1 1 1; 1 5 1; 1 1 1] / 13. The outermost pixels stay as they are. */
export function sharpness({ data, scratch, height, width }: Picture, factor: number): void {
  if (height < 3 || width < 3 || !prepare(factor)) return;
  scratch.set(data);
  const stride = width * 3;
  for (let y = 1; y < height - 1; y++) {
    const end = y * stride + stride - 3;
    for (let i = y * stride + 3; i < end; i++) {
      const above = i - stride;
      const below = i + stride;
      const centre = scratch[i]!;
      // biome-ignore format: the kernel
      const sum =
        scratch[above - 3]! + scratch[above]! + scratch[above + 3]! +
        scratch[i - 3]! + 5 * centre + scratch[i + 3]! +
        scratch[below - 3]! + scratch[below]! + scratch[below + 3]!;
      data[i] = blend(thirteenths[sum]!, centre);
    }
  }
}

/** Pillow's conversion to grey: the weights of ITU-R 601-2 in 16 bits, rounded. */
function luma(red: number, green: number, blue: number): number {
  return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
}

/** Fills `products`; false where the picture stays as it is. */
function prepare(factor: number): boolean {
  const alpha = Math.fround(factor);
  for (let difference = -255; difference <= 255; difference++)
    products[difference + 255] = alpha * difference;
  return alpha !== 1;
}

/** from + factor · (to − from) in float32, cut off to a level. */
function blend(from: number, to: number): number {
  const value = Math.fround(from + products[to - from + 255]!);
  return value <= 0 ? 0 : value >= 255 ? 255 : value | 0;
}
