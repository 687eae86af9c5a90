/**
 * Images that belong to nobody, to try the program on: dead leaves, gradients and textures. Like photographs
 * they have edges, occlusion and about the same energy at every scale, so that a model has something to learn.
 *
 * Every byte is a pure function of (seed, index) on every platform: besides + − × ÷ only sqrt and floor are
 * used, which IEEE 754 rounds in one way, and the JPEGs are written by jpeg-js, which is JavaScript too.
 */
import { existsSync } from 'node:fs';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import jpeg from 'jpeg-js';
import { UserError } from '../../util/errors.js';
import { makeFolder } from '../../util/make-folder.js';
import { RandomStream } from '../../util/random.js';
import { checkRegularFile } from '../../util/regular-file.js';
import { explained } from '../../util/system-errors.js';
import { clamp } from './canvas.js';
import { deadLeaves, landscape, stillLife, texture } from './scenes.js';
import { withAlpha } from './with-alpha.js';

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
    const old = await readOld(path);
    if (old !== undefined && !isOurs(old, bytes)) {
      throw new UserError(
        `sample images: expected a sample image or nothing at ${path}, got a file of something else; choose another folder`,
      );
    }
    if (old === undefined || !bytes.equals(old)) {
      await replaceImage(path, bytes);
    }
    paths.push(path);
    onProgress?.(index + 1, count);
  }
  return paths;
}

async function readOld(path: string): Promise<Buffer | undefined> {
  if (!existsSync(path)) return undefined;
  checkRegularFile(path, 'sample images');
  return readFile(path);
}

async function replaceImage(path: string, bytes: Uint8Array): Promise<void> {
  const beside = join(dirname(path), `.${basename(path)}.tmp`);
  try {
    makeFolder(dirname(path));
    await writeFile(beside, bytes);
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true }).catch(() => {});
    throw explained(error, 'sample images', `to write ${path}`);
  }
}

/** Bytes of a JPEG before its sizes: markers and quantisation tables, those of jpeg-js at one quality. */
const headBytes = 2 + 18 + 134;

/** Whether a file is a sample image, perhaps of another seed, or the beginning of this one that a killed copy left. */
function isOurs(old: Buffer, bytes: Buffer): boolean {
  if (bytes.subarray(0, old.length).equals(old)) return true;
  return old.subarray(0, headBytes).equals(bytes.subarray(0, headBytes));
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
  return jpeg.encode({ data: withAlpha({ data: rgb }), width, height }, quality).data;
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
