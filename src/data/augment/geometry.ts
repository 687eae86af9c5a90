/** Pillow's `Image.transform(size, AFFINE, matrix, BICUBIC, fillcolor)` and what is made of it, to the same bytes. */
import type { Picture } from './picture.js';

/** The pixel at (x, y) comes from (a·x + b·y + c, d·x + e·y + f); both count from the corner, a pixel's middle is at ½. */
export type Matrix = readonly [a: number, b: number, c: number, d: number, e: number, f: number];
export type Colour = readonly [red: number, green: number, blue: number];

export function shearX(picture: Picture, factor: number, fill: Colour): void {
  transform(picture, [1, factor, 0, 0, 1, 0], fill);
}

export function shearY(picture: Picture, factor: number, fill: Colour): void {
  transform(picture, [1, 0, 0, factor, 1, 0], fill);
}

/** By a share of the width. */
export function translateX(picture: Picture, share: number, fill: Colour): void {
  transform(picture, [1, 0, share * picture.width, 0, 1, 0], fill);
}

/** By a share of the height. */
export function translateY(picture: Picture, share: number, fill: Colour): void {
  transform(picture, [1, 0, 0, 0, 1, share * picture.height], fill);
}

/** Around the middle, against the clock. */
export function rotate(picture: Picture, degrees: number, fill: Colour): void {
  const turned = degrees % 360;
  const angle = -((turned < 0 ? turned + 360 : turned) * (Math.PI / 180));
  const cos = Number(Math.cos(angle).toFixed(15));
  const sin = Number(Math.sin(angle).toFixed(15));
  const [x, y] = [picture.width / 2, picture.height / 2];
  transform(picture, [cos, sin, cos * -x + sin * -y + x, -sin, cos, -sin * -x + cos * -y + y], fill);
}

/** What comes from outside the picture becomes `fill`. */
export function transform({ data, scratch, height, width }: Picture, matrix: Matrix, fill: Colour): void {
  const [a, b, c, d, e, f] = matrix;
  scratch.set(data);
  let out = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++, out += 3) {
      const x = a * (column + 0.5) + b * (row + 0.5) + c;
      const y = d * (column + 0.5) + e * (row + 0.5) + f;
      if (x >= 0 && x < width && y >= 0 && y < height) {
        interpolate(scratch, width, height, x - 0.5, y - 0.5, data, out);
      } else {
        data[out] = fill[0];
        data[out + 1] = fill[1];
        data[out + 2] = fill[2];
      }
    }
  }
}

/** The cubic through four levels, `t` of the way from `v1` to `v2`; a = −1 (Keys 1981), in Pillow's order of operations. */
function cubic(v0: number, v1: number, v2: number, v3: number, t: number): number {
  return v1 + t * (v2 - v0 + t * (2 * (v0 - v1) + v2 - v3 + t * (v1 - v0 - v2 + v3)));
}

/** Cut off, not rounded. */
function level(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : value | 0;
}

/** Writes the pixel at (x, y), which count from the middle of the first pixel. Beside the picture its edge goes on. */
function interpolate(
  source: Uint8Array,
  width: number,
  height: number,
  x: number,
  y: number,
  out: Uint8Array,
  at: number,
): void {
  const left = Math.floor(x);
  const top = Math.floor(y);
  const tx = x - left;
  const ty = y - top;
  const stride = width * 3;
  const x0 = clamp(left - 1, width) * 3;
  const x1 = clamp(left, width) * 3;
  const x2 = clamp(left + 1, width) * 3;
  const x3 = clamp(left + 2, width) * 3;
  const y0 = clamp(top - 1, height) * stride;
  const y1 = clamp(top, height) * stride;
  const y2 = clamp(top + 1, height) * stride;
  const y3 = clamp(top + 2, height) * stride;
  if (ty === 0) {
    // along a row of pixels: the cubic down gives what stands on it
    for (let i = y1, end = y1 + 3; i < end; i++)
      out[at++] = level(at4(source, i + x0, i + x1, i + x2, i + x3, tx));
  } else if (tx === 0) {
    for (let i = x1, end = x1 + 3; i < end; i++)
      out[at++] = level(at4(source, i + y0, i + y1, i + y2, i + y3, ty));
  } else {
    for (let channel = 0; channel < 3; channel++) {
      const c0 = x0 + channel;
      const c1 = x1 + channel;
      const c2 = x2 + channel;
      const c3 = x3 + channel;
      const v0 = at4(source, y0 + c0, y0 + c1, y0 + c2, y0 + c3, tx);
      const v1 = at4(source, y1 + c0, y1 + c1, y1 + c2, y1 + c3, tx);
      const v2 = at4(source, y2 + c0, y2 + c1, y2 + c2, y2 + c3, tx);
      const v3 = at4(source, y3 + c0, y3 + c1, y3 + c2, y3 + c3, tx);
      out[at++] = level(cubic(v0, v1, v2, v3, ty));
    }
  }
}

/** The cubic through the levels at four places. */
function at4(source: Uint8Array, i0: number, i1: number, i2: number, i3: number, t: number): number {
  return cubic(source[i0]!, source[i1]!, source[i2]!, source[i3]!, t);
}

function clamp(index: number, length: number): number {
  return index < 0 ? 0 : index < length ? index : length - 1;
}
