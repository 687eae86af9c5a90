import type { RandomStream } from '../../util/random.js';
import {
  blend,
  brightness,
  type Canvas,
  type Colour,
  clamp,
  direction,
  type Field,
  fill,
  fractalNoise,
  lighter,
  mixInto,
  paint,
  palette,
  rampInto,
  type Shape,
  smooth,
  square,
  tinted,
  wave,
  white,
} from './canvas.js';

/** Shapes on shapes until nothing shows between them (Matheron's dead leaves; radii by a power law). */
export function deadLeaves(canvas: Canvas, random: RandomStream): void {
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
export function landscape(canvas: Canvas, random: RandomStream): void {
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
export function stillLife(canvas: Canvas, random: RandomStream): void {
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
export function texture(canvas: Canvas, random: RandomStream): void {
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
