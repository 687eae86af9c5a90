import type { RandomStream } from '../../util/random.js';

/** Colours in [0, 1], [height, width, 3]. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly pixels: Float32Array;
}

export interface Shape {
  readonly kind: 'ellipse' | 'box' | 'leaf';
  readonly x: number;
  readonly y: number;
  /** Half its length and half its width, pixels. */
  readonly a: number;
  readonly b: number;
  /** Where its length points, a unit vector. */
  readonly axis: readonly [number, number];
}

/** Pixels from (u, v), in the axes of the shape, to its outline; positive inside. */
function insideBy({ kind, a, b }: Shape, u: number, v: number): number {
  if (kind === 'ellipse') {
    // f = √((u/a)² + (v/b)²) is 1 on the outline; (1 − f) / |∇f| is the distance near it.
    const p = u / a;
    const q = v / b;
    const f = Math.sqrt(p * p + q * q);
    return f < 1e-3 ? b : ((1 - f) * f) / Math.sqrt(square(p / a) + square(q / b));
  }
  if (kind === 'leaf') {
    // Where two disks meet, whose radius makes the lens 2a long and 2b wide.
    const radius = (a * a + b * b) / (2 * b);
    const w = (v < 0 ? -v : v) + radius - b;
    return radius - Math.sqrt(u * u + w * w);
  }
  const corner = 0.25 * b;
  const p = (u < 0 ? -u : u) - a + corner;
  const q = (v < 0 ? -v : v) - b + corner;
  const outside = Math.sqrt(square(Math.max(p, 0)) + square(Math.max(q, 0)));
  return corner - outside - Math.min(Math.max(p, q), 0);
}

/** Where a pixel lies in the shape that is painted; the painter sets `colour`. */
interface Point {
  x: number;
  y: number;
  dx: number;
  dy: number;
  u: number;
  v: number;
  inside: number;
  readonly colour: Colour;
}

/** Darkens what lies under a shape by its shadow, then paints the shape with smooth edges. */
export function paint(
  canvas: Canvas,
  shape: Shape,
  shadow: { strength: number; x: number; y: number; blur: number } | undefined,
  colourOf?: (point: Point) => void,
): void {
  const { x: cx, y: cy, a, axis } = shape;
  const [ux, uy] = axis;
  const outline = shape.kind === 'box' ? Math.sqrt(square(a) + square(shape.b)) : a;
  const reach =
    outline + 1 + (shadow === undefined ? 0 : shadow.blur + Math.max(Math.abs(shadow.x), Math.abs(shadow.y)));
  const p: Point = { x: 0, y: 0, dx: 0, dy: 0, u: 0, v: 0, inside: 0, colour: new Float64Array(3) };
  const [right, bottom] = [
    Math.min(canvas.width, Math.floor(cx + reach) + 1),
    Math.min(canvas.height, Math.floor(cy + reach) + 1),
  ];
  for (let y = Math.max(0, Math.floor(cy - reach)); y < bottom; y++) {
    for (let x = Math.max(0, Math.floor(cx - reach)); x < right; x++) {
      const dx = x - cx;
      const dy = y - cy;
      const u = dx * ux + dy * uy;
      const v = dy * ux - dx * uy;
      const inside = insideBy(shape, u, v);
      const coverage = colourOf === undefined ? 0 : clamp(inside + 0.5);
      if (shadow !== undefined && coverage < 1) {
        const sx = dx - shadow.x;
        const sy = dy - shadow.y;
        const under = insideBy(shape, sx * ux + sy * uy, sy * ux - sx * uy);
        const dark = shadow.strength * smooth((under + shadow.blur) / (2 * shadow.blur));
        if (dark > 0) blend(canvas, x, y, black, dark);
      }
      if (coverage > 0 && colourOf !== undefined) {
        p.x = x;
        p.y = y;
        p.dx = dx;
        p.dy = dy;
        p.u = u;
        p.v = v;
        p.inside = inside;
        colourOf(p);
        blend(canvas, x, y, p.colour, coverage);
      }
    }
  }
}

export function fill({ width, height, pixels }: Canvas, colourAt: (x: number, y: number) => Colour): void {
  let i = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const colour = colourAt(x, y);
      pixels[i++] = colour[0];
      pixels[i++] = colour[1];
      pixels[i++] = colour[2];
    }
  }
}

export function blend({ width, pixels }: Canvas, x: number, y: number, colour: Colour, alpha: number): void {
  const i = 3 * (y * width + x);
  pixels[i] = pixels[i]! + alpha * (colour[0] - pixels[i]!);
  pixels[i + 1] = pixels[i + 1]! + alpha * (colour[1] - pixels[i + 1]!);
  pixels[i + 2] = pixels[i + 2]! + alpha * (colour[2] - pixels[i + 2]!);
}

/** Red, green, blue. */
export type Colour = Float64Array;
const black = Float64Array.of(0, 0, 0);
export const white = Float64Array.of(1, 1, 1);

/** `count` colours that go together: hues near one or two, from dark to bright in a random order. */
export function palette(random: RandomStream, count: number): Colour[] {
  const hue = random.float();
  const spread = random.uniform(0.05, 0.3);
  const opposite = random.uniform(0, 0.5);
  const saturation = random.uniform(0.25, 0.8);
  return Array.from(random.permutation(count), (rank) => {
    const h = hue + spread * random.uniform(-0.5, 0.5) + (random.float() < opposite ? 0.5 : 0);
    return fromHsv(
      h + 1,
      saturation * random.uniform(0.5, 1),
      0.2 + (0.78 * (rank + random.float())) / count,
    );
  });
}

/** Channel n of 5, 3, 1 is v − v·s·max(0, min(k, 4 − k, 1)) with k = (n + 6h) mod 6. */
function fromHsv(h: number, s: number, v: number): Colour {
  const channel = (n: number) => {
    const k = (n + 6 * h) % 6;
    return v - v * s * Math.max(0, Math.min(k, 4 - k, 1));
  };
  return Float64Array.of(channel(5), channel(3), channel(1));
}

export function tinted(colour: Colour, random: RandomStream): Colour {
  const light = random.uniform(0.8, 1.2);
  return Float64Array.of(
    light * colour[0]!,
    light * colour[1]! * random.uniform(0.92, 1.08),
    light * colour[2]!,
  );
}

export function lighter(colour: Colour, t: number): Colour {
  const out = new Float64Array(3);
  mixInto(out, colour, white, t);
  return out;
}

export function brightness(colour: Colour): number {
  return 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2];
}

/** out = (a + t·(b − a)) · light */
export function mixInto(out: Colour, a: Colour, b: Colour, t: number, light = 1): void {
  out[0] = (a[0] + t * (b[0] - a[0])) * light;
  out[1] = (a[1] + t * (b[1] - a[1])) * light;
  out[2] = (a[2] + t * (b[2] - a[2])) * light;
}

/** The colour at t in [0, 1] of a ramp through evenly spaced colours. */
export function rampInto(out: Colour, ramp: readonly Colour[], t: number, light: number): void {
  const at = clamp(t) * (ramp.length - 1);
  const i = Math.min(Math.floor(at), ramp.length - 2);
  mixInto(out, ramp[i]!, ramp[i + 1]!, at - i, light);
}

export type Field = (x: number, y: number) => number;

export function clamp(t: number): number {
  return Math.max(0, Math.min(t, 1));
}

export function square(t: number): number {
  return t * t;
}

/** 0 below 0, 1 above 1, 3t² − 2t³ between. */
export function smooth(t: number): number {
  const c = clamp(t);
  return c * c * (3 - 2 * c);
}

/** Like a cosine of period 1 from −1 to 1, but without its last bits: a smoothed triangle. */
export function wave(t: number): number {
  const u = 2 * (t - Math.floor(t)) - 1;
  return 2 * smooth(u < 0 ? -u : u) - 1;
}

/** A random unit vector: a point of the disk, pushed to its rim. */
export function direction(random: RandomStream): [number, number] {
  for (;;) {
    const [x, y] = [random.uniform(-1, 1), random.uniform(-1, 1)];
    const square = x * x + y * y;
    if (square > 1 || square < 0.01) continue;
    const length = Math.sqrt(square);
    return [x / length, y / length];
  }
}

/**
 * Perlin's gradient noise in octaves, each of twice the frequency and half the height: 1/f, as in photographs.
 * At each point of the integer grid one octave is 0 and has one of eight slopes. About −1 to 1.
 */
export function fractalNoise(random: RandomStream, octaves: number): Field {
  const hash = Uint8Array.from(random.permutation(256));
  const s = Math.SQRT1_2;
  const slopeX = Float64Array.of(1, s, 0, -s, -1, -s, 0, s);
  const slopeY = Float64Array.of(0, s, 1, s, 0, -s, -1, -s);
  const corner = (ix: number, iy: number, dx: number, dy: number) => {
    const h = hash[(hash[ix & 255]! + iy) & 255]! & 7;
    return slopeX[h]! * dx + slopeY[h]! * dy;
  };
  const ease = (t: number) => t * t * t * (t * (t * 6 - 15) + 10);
  return (x, y) => {
    let sum = 0;
    let height = 1.2;
    for (let octave = 0; octave < octaves; octave++) {
      const ix = Math.floor(x);
      const iy = Math.floor(y);
      const dx = x - ix;
      const dy = y - iy;
      const u = ease(dx);
      const top = corner(ix, iy, dx, dy) * (1 - u) + corner(ix + 1, iy, dx - 1, dy) * u;
      const low = corner(ix, iy + 1, dx, dy - 1) * (1 - u) + corner(ix + 1, iy + 1, dx - 1, dy - 1) * u;
      sum += height * (top + ease(dy) * (low - top));
      height /= 2;
      x = 2 * x + 17.3;
      y = 2 * y + 9.1;
    }
    return sum;
  };
}
