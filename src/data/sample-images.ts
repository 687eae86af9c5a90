/**
 * Images that belong to nobody, to try the program on: dead leaves, gradients and textures. Like photographs
 * they have edges, occlusion and about the same energy at every scale, so that a model has something to learn.
 *
 * Every byte is a pure function of (seed, index) on every platform: besides + − × ÷ only sqrt and floor are
 * used, which IEEE 754 rounds in one way, and the JPEGs are written by jpeg-js, which is JavaScript too.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import jpeg from 'jpeg-js';
import { codeOf, UserError } from '../util/errors.js';
import { RandomStream } from '../util/random.js';

/** Image i is of kind i mod 3. A kind is also the name of its class folder. */
export const sampleKinds = ['dead-leaves', 'gradients', 'textures'] as const;
export type SampleKind = (typeof sampleKinds)[number];

export interface SampleImagesOptions {
  readonly count: number;
  readonly seed?: number;
  /** Pixels of the usual landscape image; some are portraits, squares or a quarter larger. */
  readonly width?: number;
  readonly height?: number;
  /** JPEG quality, 1 to 100. */
  readonly quality?: number;
  readonly onProgress?: (done: number, count: number) => void;
}

/**
 * Writes `<folder>/<kind>/<kind>-00001.jpg` … and returns the paths. Files that are there with the same bytes
 * are left alone. UserError if the folder cannot be written.
 */
export async function writeSampleImages(
  folder: string,
  { count, seed = 0, width = 256, height = 192, quality = 90, onProgress }: SampleImagesOptions,
): Promise<string[]> {
  const paths: string[] = [];
  for (let index = 0; index < count; index++) {
    const size = sampleSize(seed, index, width, height);
    const { data, kind } = renderSampleImage(seed, index, size.width, size.height);
    const number = Math.floor(index / sampleKinds.length) + 1;
    const name = `${kind}-${String(number).padStart(5, '0')}.jpg`;
    const path = join(folder, kind, name);
    const bytes = encodeJpeg(data, size.width, size.height, quality);
    try {
      const old = await readFile(path).catch(() => undefined);
      if (old === undefined || !bytes.equals(old)) {
        await mkdir(join(folder, kind), { recursive: true });
        const beside = join(folder, kind, `.${name}.tmp`);
        await writeFile(beside, bytes);
        await rename(beside, path);
      }
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      throw new UserError(
        `sample images: expected to write ${path}, got ${code}; choose a folder that can be written, ` +
          'on a disk with some space',
        { cause: error },
      );
    }
    paths.push(path);
    onProgress?.(index + 1, count);
  }
  return paths;
}

function sampleSize(seed: number, index: number, width: number, height: number) {
  const random = new RandomStream(seed, 'sample', index, 1);
  const shape = random.float();
  if (shape < 0.2) return { width: height, height: width };
  if (shape < 0.35) return { width: height, height };
  if (shape < 0.5) return { width: Math.floor(width * 1.25), height: Math.floor(height * 1.25) };
  return { width, height };
}

function encodeJpeg(rgb: Uint8Array, width: number, height: number, quality: number): Buffer {
  const rgba = new Uint8Array(width * height * 4).fill(255);
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    rgba[to] = rgb[from]!;
    rgba[to + 1] = rgb[from + 1]!;
    rgba[to + 2] = rgb[from + 2]!;
  }
  return jpeg.encode({ data: rgba, width, height }, quality).data;
}

/** The image (seed, index) at a given size: uint8 [height, width, 3]. */
export function renderSampleImage(
  seed: number,
  index: number,
  width: number,
  height: number,
): { data: Uint8Array; kind: SampleKind } {
  const kind = sampleKinds[index % sampleKinds.length]!;
  const random = new RandomStream(seed, 'sample', index);
  const canvas = { width, height, pixels: new Float32Array(width * height * 3) };
  if (kind === 'dead-leaves') deadLeaves(canvas, random);
  else if (kind === 'textures') texture(canvas, random);
  else if (random.float() < 0.5) landscape(canvas, random);
  else stillLife(canvas, random);

  const data = new Uint8Array(canvas.pixels.length);
  for (let i = 0; i < data.length; i++) data[i] = Math.floor(255 * clamp(canvas.pixels[i]!) + 0.5);
  return { data, kind };
}

/** Colours in [0, 1], [height, width, 3]. */
interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly pixels: Float32Array;
}

/** Shapes on shapes until nothing shows between them (Matheron's dead leaves; radii by a power law). */
function deadLeaves(canvas: Canvas, random: RandomStream): void {
  const { width, height } = canvas;
  const colours = palette(random, 7);
  const size = Math.min(width, height);
  const [small, large] = [size / random.uniform(20, 60), size * random.uniform(0.25, 0.5)];
  const steep = random.float() < 0.5;
  const kinds = [['ellipse'], ['leaf'], ['box'], ['ellipse', 'box', 'leaf']] as const;
  const kindsHere = kinds[random.int(kinds.length)]!;
  const roundness = random.uniform(0.35, 1);
  const [lightX, lightY] = direction(random);
  const noise = fractalNoise(random, 3);

  fill(canvas, () => colours[0]!);
  for (let covered = 0; covered < 3 * width * height; ) {
    // P(r) ∝ r⁻³ or r⁻² on [small, large], by inversion.
    const u = random.float();
    const r = steep
      ? small / Math.sqrt(1 - u * (1 - square(small / large)))
      : small / (1 - u * (1 - small / large));
    const kind = kindsHere[random.int(kindsHere.length)]!;
    const aspect = kind === 'leaf' ? random.uniform(0.3, 0.6) : random.uniform(roundness, 1);
    const shape: Shape = {
      kind,
      x: random.uniform(-0.1, 1.1) * width,
      y: random.uniform(-0.1, 1.1) * height,
      a: r,
      b: r * aspect,
      axis: direction(random),
    };
    covered += 3 * r * r * aspect;

    const one = tinted(colours[random.int(colours.length)]!, random);
    const two = random.float() < 0.6 ? one : tinted(colours[random.int(colours.length)]!, random);
    const style = random.int(3);
    const stripes = random.uniform(2, 5) / r;
    const depth = random.uniform(0.1, 0.35);
    paint(
      canvas,
      shape,
      { strength: 0.45, x: -0.12 * r * lightX, y: -0.12 * r * lightY, blur: 0.25 * r },
      (p) => {
        let t = clamp(0.5 + p.u / (2 * r)); // one colour fading into the other along the shape
        if (style === 1) t = clamp(0.5 + wave(p.v * stripes) * (0.4 / stripes));
        if (style === 2) t = clamp(0.5 + noise(p.x * (3 / size), p.y * (3 / size)));
        const light =
          1 + (depth * (p.dx * lightX + p.dy * lightY)) / r - 0.2 * (1 - clamp(p.inside / (0.2 * r)));
        mixInto(p.colour, one, two, t, light);
      },
    );
  }
}

/** A sky with a sun and clouds over ranges of hills that fade with the distance. */
function landscape(canvas: Canvas, random: RandomStream): void {
  const { width, height } = canvas;
  const size = Math.min(width, height);
  const sky = palette(random, 3).sort((a, b) => brightness(a) - brightness(b));
  const [high, middle, haze] = [sky[1]!, sky[2]!, lighter(sky[2]!, 0.5)];
  const land = palette(random, 2).sort((a, b) => brightness(a) - brightness(b));
  const horizon = random.uniform(0.35, 0.65) * height;
  const sun = {
    x: random.float() * width,
    y: random.uniform(0.1, 0.9) * horizon,
    r: size * random.uniform(0.03, 0.09),
  };
  const cloud = fractalNoise(random, 4);
  const cover = random.uniform(-0.5, 0.25);
  const mixed = new Float64Array(3);

  fill(canvas, (x, y) => {
    const t = y / horizon;
    if (t < 0.5) mixInto(mixed, high, middle, 2 * t);
    else mixInto(mixed, middle, haze, clamp(2 * t - 1));
    const far = Math.sqrt(square(x - sun.x) + square(y - sun.y));
    const glow = 0.7 / (1 + square(far / (4 * sun.r)));
    // Clouds flatten toward the horizon, as a layer overhead does in perspective.
    const away = 1.2 / (0.15 + clamp(1 - t));
    const c =
      smooth((cloud((x - width / 2) * (away / width) + 9, away * 2.5) + cover) * 1.6) * clamp(2 - 2 * t);
    mixInto(mixed, mixed, white, Math.max(clamp(sun.r - far + 0.5), glow, 0.85 * c));
    return mixed;
  });

  const ranges = 3 + random.int(4);
  const ground = fractalNoise(random, 3);
  for (let range = 0; range < ranges; range++) {
    const near = (range + 1) / ranges;
    const rough = random.uniform(1, 3);
    const rise = size * random.uniform(0.1, 0.25);
    const foot = horizon + (height - horizon) * (near - 1 / ranges) * 0.9;
    const base = new Float64Array(3);
    mixInto(base, land[1]!, land[0]!, near);
    mixInto(base, haze, base, 0.25 + 0.75 * near);
    for (let x = 0; x < width; x++) {
      const ridge = foot - rise * (0.3 + ground((x / width) * rough + 7 * range, 3.5 * range));
      for (let y = Math.max(0, Math.floor(ridge)); y < height; y++) {
        const scale = (10 - 6 * near) / size;
        const relief = ground(x * scale + 31 * range, y * scale * 1.8);
        const mist = clamp(0.35 - (0.35 * (y - ridge)) / (0.3 * size)) * (1 - near);
        mixInto(mixed, base, haze, mist, 1 + 0.35 * relief);
        blend(canvas, x, y, mixed, clamp(y - ridge + 1));
      }
    }
  }
}

/** Balls, boxes and leaves on a table before a wall, with soft shadows. */
function stillLife(canvas: Canvas, random: RandomStream): void {
  const { width, height } = canvas;
  const size = Math.min(width, height);
  const colours = palette(random, 6);
  const [wall, table, ...things] = colours as [Colour, Colour, ...Colour[]];
  const edge = random.uniform(0.35, 0.6) * height;
  const lightX = random.uniform(-0.8, 0.8);
  const grain = fractalNoise(random, 3);
  const grainStrength = random.uniform(0.05, 0.25);
  const mixed = new Float64Array(3);

  fill(canvas, (x, y) => {
    const onTable = clamp(y - edge + 0.5);
    const glow = 1.35 - 1.4 * square(x / width - 0.5 - 0.5 * lightX);
    const stretch = onTable > 0.5 ? 12 : 3; // the grain of wood runs across
    const light =
      glow * (0.8 + 0.3 * (y / height)) + grainStrength * grain((x * 3) / size, (y * stretch) / size);
    mixInto(mixed, wall, table, onTable, light);
    return mixed;
  });

  const count = 3 + random.int(6);
  for (let i = 0; i < count; i++) {
    const near = (i + 0.5) / count; // the farthest first
    const r = size * random.uniform(0.07, 0.16) * (0.7 + 0.7 * near);
    const kind = (['ellipse', 'ellipse', 'box', 'leaf'] as const)[random.int(4)]!;
    const [x, y] = [random.float() * width, edge + (height - edge) * near * 0.95 - r * 0.6];
    const axis: [number, number] = kind === 'leaf' ? direction(random) : [1, 0];
    const shape: Shape = {
      kind,
      x,
      y,
      a: r,
      b: kind === 'leaf' ? r * 0.45 : r * random.uniform(0.75, 1),
      axis,
    };
    const one = things[random.int(things.length)]!;
    const two = tinted(things[random.int(things.length)]!, random);
    const stripes = random.float() < 0.4 ? random.uniform(1, 3) / r : 0;

    // What touches the table shades it most; then the shadow away from the light.
    const ground: Shape = {
      kind: 'ellipse',
      x: x - lightX * r * 0.7,
      y: y + shape.b,
      a: r * 1.3,
      b: r * 0.3,
      axis: [1, 0],
    };
    paint(canvas, ground, { strength: 0.6, x: 0, y: 0, blur: r * 0.3 });
    paint(canvas, shape, undefined, (p) => {
      const t = stripes === 0 ? 0 : clamp(0.5 + wave(p.u * stripes) * (0.35 / stripes));
      // The side of a ball: n = (dx, dy, √(1 − dx² − dy²)); light from above and from one side.
      const nx = p.dx / r;
      const ny = p.dy / r;
      const nz = Math.sqrt(Math.max(0, 1 - nx * nx - ny * ny));
      const lit =
        kind === 'ellipse' ? 0.5 + 0.65 * Math.max(0, 0.6 * lightX * nx - 0.6 * ny + 0.6 * nz) : 1 - 0.3 * ny;
      mixInto(p.colour, one, two, t, lit + 0.15 * grain(p.x / r, p.y / r));
      const gleam = kind === 'ellipse' ? clamp(1 - 12 * (square(nx - 0.35 * lightX) + square(ny + 0.4))) : 0;
      mixInto(p.colour, p.colour, white, 0.6 * gleam * gleam);
    });
  }
}

/** A pattern, bent by noise and coloured by a ramp, under light that changes across it. */
function texture(canvas: Canvas, random: RandomStream): void {
  const { width, height } = canvas;
  const size = Math.min(width, height);
  const ramp = palette(random, 2 + random.int(4));
  const noise = fractalNoise(random, 4);
  const bend = fractalNoise(random, 2);
  const [ux, uy] = direction(random);
  const bending = random.float() < 0.3 ? 0.02 : random.uniform(0.05, 0.4);
  const roughness = random.uniform(0.05, 0.3);
  const period = random.uniform(0.06, 0.25);
  const sharp = (period * size) / 3; // edges of about two pixels
  const pattern = random.int(6);
  const [lampX, lampY] = [random.float(), random.float()];
  const mixed = new Float64Array(3);

  // (u, v): rotated and bent, in units of the shorter side. Each pattern gives a place on the ramp, [0, 1].
  const patterns: Field[] = [
    (u) => clamp(0.5 + wave(u / period) * sharp * 0.5), // stripes
    (u, v) => clamp(0.5 + wave(u / period) * wave(v / period) * sharp), // checkers
    (u, v) => 0.5 + 0.5 * wave((u + 1.5 * noise(u * 2, v * 2)) / (2 * period)), // marble
    (u, v) => 0.5 + 0.5 * wave(Math.sqrt(u * u + (v * v) / 6) / (0.5 * period) + noise(u, v)), // wood
    (u, v) => clamp(0.5 + 0.9 * noise(u / (4 * period), v / (4 * period))), // clouds
    bricks(period, size, random),
  ];
  const at = patterns[pattern]!;

  fill(canvas, (px, py) => {
    const x = px / size;
    const y = py / size;
    const bx = x + bending * bend(x * 2, y * 2);
    const by = y + bending * bend(x * 2 + 50, y * 2 + 50);
    const t = at(bx * ux + by * uy, by * ux - bx * uy);
    const far = square(px / width - lampX) + square(py / height - lampY);
    rampInto(mixed, ramp, t, (1.1 - 0.4 * far) * (1 + roughness * noise(x * 6 + 20, y * 6 + 20)));
    return mixed;
  });
}

/** Rows of bricks or tiles, each of its own shade, in mortar of the ramp's first colour. */
function bricks(period: number, size: number, random: RandomStream): Field {
  const shades = Float32Array.from({ length: 256 }, () => random.uniform(0.3, 1));
  const [long, shift, gap] = [random.uniform(1, 2.5), random.uniform(0, 0.5), random.uniform(0.03, 0.1)];
  return (u, v) => {
    const row = Math.floor(v / period);
    const along = u / (period * long) + shift * row;
    const column = Math.floor(along);
    const [a, b] = [(along - column) * long, v / period - row];
    const edge = Math.min(a, long - a, b, 1 - b) - gap;
    return clamp(edge * period * size * 0.5 + 0.5) * shades[(column * 37 + row * 101) & 255]!;
  };
}

interface Shape {
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
function paint(
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

function fill({ width, height, pixels }: Canvas, colourAt: (x: number, y: number) => Colour): void {
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

function blend({ width, pixels }: Canvas, x: number, y: number, colour: Colour, alpha: number): void {
  const i = 3 * (y * width + x);
  pixels[i] = pixels[i]! + alpha * (colour[0] - pixels[i]!);
  pixels[i + 1] = pixels[i + 1]! + alpha * (colour[1] - pixels[i + 1]!);
  pixels[i + 2] = pixels[i + 2]! + alpha * (colour[2] - pixels[i + 2]!);
}

/** Red, green, blue. */
type Colour = Float64Array;
const black = Float64Array.of(0, 0, 0);
const white = Float64Array.of(1, 1, 1);

/** `count` colours that go together: hues near one or two, from dark to bright in a random order. */
function palette(random: RandomStream, count: number): Colour[] {
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

function tinted(colour: Colour, random: RandomStream): Colour {
  const light = random.uniform(0.8, 1.2);
  return Float64Array.of(
    light * colour[0]!,
    light * colour[1]! * random.uniform(0.92, 1.08),
    light * colour[2]!,
  );
}

function lighter(colour: Colour, t: number): Colour {
  const out = new Float64Array(3);
  mixInto(out, colour, white, t);
  return out;
}

function brightness(colour: Colour): number {
  return 0.3 * colour[0] + 0.6 * colour[1] + 0.1 * colour[2];
}

/** out = (a + t·(b − a)) · light */
function mixInto(out: Colour, a: Colour, b: Colour, t: number, light = 1): void {
  out[0] = (a[0] + t * (b[0] - a[0])) * light;
  out[1] = (a[1] + t * (b[1] - a[1])) * light;
  out[2] = (a[2] + t * (b[2] - a[2])) * light;
}

/** The colour at t in [0, 1] of a ramp through evenly spaced colours. */
function rampInto(out: Colour, ramp: readonly Colour[], t: number, light: number): void {
  const at = clamp(t) * (ramp.length - 1);
  const i = Math.min(Math.floor(at), ramp.length - 2);
  mixInto(out, ramp[i]!, ramp[i + 1]!, at - i, light);
}

type Field = (x: number, y: number) => number;

function clamp(t: number): number {
  return Math.max(0, Math.min(t, 1));
}

function square(t: number): number {
  return t * t;
}

/** 0 below 0, 1 above 1, 3t² − 2t³ between. */
function smooth(t: number): number {
  const c = clamp(t);
  return c * c * (3 - 2 * c);
}

/** Like a cosine of period 1 from −1 to 1, but without its last bits: a smoothed triangle. */
function wave(t: number): number {
  const u = 2 * (t - Math.floor(t)) - 1;
  return 2 * smooth(u < 0 ? -u : u) - 1;
}

/** A random unit vector: a point of the disk, pushed to its rim. */
function direction(random: RandomStream): [number, number] {
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
function fractalNoise(random: RandomStream, octaves: number): Field {
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
