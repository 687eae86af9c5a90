import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeOk } from '../support/cli.js';
import { tinyModel } from '../support/cli-files.js';
import { randomBytes } from '../support/random.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, args } = await trainingFiles(16);
const [side, patch] = [tinyModel.inputSize, tinyModel.patchSize];
const across = side / patch;
/** Models by their loss. */
const runs = { 'norm-pix': join(folder, 'norm-pix'), pixels: join(folder, 'pixels') };
/** Noise of the input's own size: nothing is resized, and no two patches are alike. */
const noise = randomBytes(5, side * side * 3);
const picture = join(folder, 'noise.png');

beforeAll(async () => {
  await maeOk(args(runs['norm-pix'], { 'max-steps': 4 }));
  await maeOk(args(runs.pixels, { 'max-steps': 4, 'no-norm-pix-loss': true }));
  await raw(noise, side, side).png().toFile(picture);
});

function raw(pixels: Uint8Array, width: number, height: number): Sharp {
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

interface Line {
  image: string;
  loss: number;
  output: string;
  mask_ratio: number;
}

/** Panels of each row at the model's own size: original, masked, reconstruction, pasted. */
async function readGrid(path: string): Promise<Uint8Array[][]> {
  const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
  expect(info.channels).toBe(3);
  // panels of 192 pixels, each pixel 12 × 12, with gaps of 8
  const [gap, panel] = [8, 192];
  expect(info.width).toBe(4 * (panel + gap) + gap);
  expect((info.height - gap) % (panel + gap)).toBe(0);
  const rows = (info.height - gap) / (panel + gap);
  const zoom = panel / side;
  return Array.from({ length: rows }, (_, row) =>
    Array.from({ length: 4 }, (_, column) => {
      const small = new Uint8Array(side * side * 3);
      for (let y = 0; y < panel; y++) {
        for (let x = 0; x < panel; x++) {
          const from = ((gap + row * (panel + gap) + y) * info.width + gap + column * (panel + gap) + x) * 3;
          const to = (Math.floor(y / zoom) * side + Math.floor(x / zoom)) * 3;
          if (y % zoom === 0 && x % zoom === 0) small.set(data.subarray(from, from + 3), to);
          else if (data.compare(small, to, to + 3, from, from + 3) !== 0) {
            throw new Error(`the panel in row ${row}, column ${column} is not one of enlarged pixels`);
          }
        }
      }
      return small;
    }),
  );
}

/** Pixels of a patch, row by row. */
function patchOf(pixels: Uint8Array, index: number): number[] {
  const [top, left] = [Math.floor(index / across) * patch, (index % across) * patch];
  return Array.from({ length: patch * patch * 3 }, (_, i) => {
    const [y, x] = [top + Math.floor(i / (patch * 3)), left * 3 + (i % (patch * 3))];
    return pixels[y * side * 3 + x]!;
  });
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

// Deng et al.'s ImageNet: the mean colour of a hidden patch, and the scale of the model's input
const colour = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
const meanColour = colour.mean.map((value) => Math.round(255 * value));

function hiddenPatches(masked: Uint8Array): number[] {
  const indices = Array.from({ length: across ** 2 }, (_, i) => i);
  return indices.filter((index) => patchOf(masked, index).every((value, i) => value === meanColour[i % 3]));
}

async function reconstruct(
  images: string[],
  ...flags: string[]
): Promise<{ rows: Uint8Array[][]; lines: Line[] }> {
  const output = join(folder, 'out.png');
  const { stdout } = await maeOk(['reconstruct', ...images, '-o', output, '--json', ...flags]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { rows: await readGrid(output), lines };
}

describe.each(['norm-pix', 'pixels'] as const)('of a model trained on %s', (kind) => {
  test('panels are the input, what the encoder saw, the prediction, and both pasted', async () => {
    const { rows, lines } = await reconstruct([picture], '--checkpoint', runs[kind]);
    expect(lines).toEqual([
      { image: picture, loss: expect.any(Number), output: join(folder, 'out.png'), mask_ratio: 0.75 },
    ]);
    expect(rows).toHaveLength(1);
    const [original, masked, predicted, pasted] = rows[0] as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    expect(original).toEqual(noise);

    const hidden = hiddenPatches(masked);
    expect(hidden).toHaveLength(12);
    for (let index = 0; index < across ** 2; index++) {
      const isHidden = hidden.includes(index);
      if (!isHidden) expect(patchOf(masked, index)).toEqual(patchOf(original, index));
      expect(patchOf(pasted, index), `patch ${index}`).toEqual(
        patchOf(isHidden ? predicted : original, index),
      );
      expect(patchOf(predicted, index)).not.toEqual(patchOf(original, index));
    }

    // the loss, from the pixels of the picture: means over the hidden patches, in the units of the loss
    const scaled = (pixels: Uint8Array, index: number) =>
      patchOf(pixels, index).map(
        (value, i) => (value / 255 - colour.mean[i % 3]!) / colour.deviation[i % 3]!,
      );
    const losses = hidden.map((index) => {
      const truth = scaled(original, index);
      const center = mean(truth);
      const variance = truth.reduce((sum, value) => sum + (value - center) ** 2, 0) / (truth.length - 1);
      const unit = kind === 'norm-pix' ? variance : 1;
      return mean(scaled(predicted, index).map((value, i) => (value - truth[i]!) ** 2)) / unit;
    });
    expect(Math.abs(lines[0]!.loss / mean(losses) - 1)).toBeLessThan(0.02);
  });
});

test('without --json it prints a line an image and the file', async () => {
  const output = join(folder, 'plain.png');
  const { stdout, stderr } = await maeOk(['reconstruct', picture, '--checkpoint', runs.pixels, '-o', output]);
  expect(stdout).toMatch(new RegExp(`^${picture} {2}loss \\d\\.\\d{4}\nwrote ${output}\n$`));
  expect(stderr).toBe('');
});

test('a checkpoint folder and a file alone do as well as the run', async () => {
  const wanted = await reconstruct([picture], '--checkpoint', runs.pixels);
  const checkpoint = join(runs.pixels, 'checkpoints/step-4');
  for (const given of [checkpoint, join(checkpoint, 'model.safetensors')]) {
    expect(await reconstruct([picture], '--checkpoint', given)).toEqual(wanted);
  }
});

test('several images are rows, each with a mask of its own; PNG, WebP and TIFF give the same picture', async () => {
  const paths = [picture, join(folder, 'noise.webp'), join(folder, 'noise.tiff')];
  await raw(noise, side, side).webp({ lossless: true }).toFile(paths[1]!);
  await raw(noise, side, side).tiff({ compression: 'lzw' }).toFile(paths[2]!);
  const { rows, lines } = await reconstruct(paths, '--checkpoint', runs['norm-pix']);
  expect(lines.map(({ image }) => image)).toEqual(paths);
  expect(rows.map(([original]) => original)).toEqual([noise, noise, noise]);
  expect(new Set(rows.map(([, masked]) => Buffer.from(masked!).toString('hex'))).size).toBe(3);
});

test('--mask-ratio replaces that of the training', async () => {
  for (const [ratio, hidden] of [
    [0.5, 8],
    [0.9, 15],
    [0.1, 2],
  ] as const) {
    const flags = ['--checkpoint', runs.pixels, '--mask-ratio', String(ratio)];
    const { rows, lines } = await reconstruct([picture], ...flags);
    expect(lines[0]!.mask_ratio).toBe(ratio);
    expect(hiddenPatches(rows[0]![1]!)).toHaveLength(hidden);
  }
});

test('--seed decides the masks, and the same one gives the same file', async () => {
  const file = async (seed: number): Promise<Buffer> => {
    await reconstruct([picture], '--checkpoint', runs.pixels, '--seed', String(seed));
    return readFileSync(join(folder, 'out.png'));
  };
  const [first, again, other] = [await file(1), await file(1), await file(2)];
  expect(again.equals(first)).toBe(true);
  expect(other.equals(first)).toBe(false);
});

test('--fit crop cuts the middle out, --fit squash takes all of it', async () => {
  const [red, green, blue] = [
    [255, 0, 0],
    [0, 255, 0],
    [0, 0, 255],
  ] as const;
  const wide = Uint8Array.from({ length: side * 3 * side * 3 }, (_, i) => {
    const column = Math.floor(i / 3) % (3 * side);
    return [red, green, blue][Math.floor(column / side)]![i % 3]!;
  });
  const path = join(folder, 'wide.png');
  await raw(wide, 3 * side, side)
    .png()
    .toFile(path);
  const pixel = (pixels: Uint8Array, x: number) => [...pixels.subarray(x * 3, x * 3 + 3)];
  const original = async (...flags: string[]): Promise<Uint8Array> => {
    const { rows } = await reconstruct([path], '--checkpoint', runs.pixels, ...flags);
    return rows[0]![0]!;
  };

  const squashed = await original('--fit', 'squash');
  for (const [x, wanted] of [
    [0, red],
    [side / 2, green],
    [side - 1, blue],
  ] as const) {
    expect(pixel(squashed, x), `column ${x}`).toEqual([...wanted]);
  }
  const cropped = await original();
  for (const x of [0, side / 2, side - 1]) expect(pixel(cropped, x), `column ${x}`).toEqual([...green]);
});

test('a photograph that lies on its side is turned upright', async () => {
  // white above, black below; "turn clockwise" brings the white to the right
  const halves = Uint8Array.from({ length: side * side * 3 }, (_, i) =>
    i < (side * side * 3) / 2 ? 255 : 0,
  );
  const path = join(folder, 'turned.jpg');
  await raw(halves, side, side).withMetadata({ orientation: 6 }).jpeg({ quality: 100 }).toFile(path);
  const upright = await sharp(path).autoOrient().raw().toBuffer();
  const { rows } = await reconstruct([path], '--checkpoint', runs.pixels);
  const original = rows[0]![0]!;
  expect([original[0], original[(side - 1) * 3]]).toEqual([0, 255]);
  for (let i = 0; i < original.length; i++)
    expect(Math.abs(original[i]! - upright[i]!)).toBeLessThanOrEqual(3);
});
