/** Pictures that their EXIF data turns are loaded as the same pictures stored upright, which libvips turns here. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageDecoder } from '../../src/data/decode/decode.js';
import { loadImage } from '../../src/data/load-image.js';
import { TrainLoader, ValidationLoader } from '../../src/data/loader.js';
import { type ImageFolder, indexImageFolder } from '../../src/data/sources/image-folder.js';
import { fileFolder } from '../support/cli-files.js';
import { imageInputs } from '../support/image-inputs.js';
import { difference, golden, goldenPath } from './support.js';

const orientations = [1, 2, 3, 4, 5, 6, 7, 8];
const root = fileFolder();
const folders: Record<string, ImageFolder> = {};

const encode = (picture: Sharp, name: 'png' | 'tiff' | 'jpeg') =>
  name === 'png'
    ? picture.png()
    : name === 'tiff'
      ? picture.tiff({ compression: 'deflate' })
      : picture.jpeg({ quality: 100, chromaSubsampling: '4:4:4' });

/** Folders `<name>/turned`, `<name>/upright` and `<name>/stored` with a picture for each orientation. */
async function makeFolders(name: 'png' | 'tiff' | 'jpeg'): Promise<void> {
  for (const kind of ['turned', 'upright', 'stored']) mkdirSync(join(root, name, kind), { recursive: true });
  // odd sizes for halves of pixels in boxes; blocks of a JPEG, which scaled decoding works on, lie alike from both sides
  const [width, height] = name === 'jpeg' ? [304, 192] : [37, 23];
  for (const orientation of orientations) {
    const data = Buffer.alloc(width * height * 3);
    for (let i = 0; i < width * height; i++) {
      const [x, y] = [i % width, Math.floor(i / width)];
      data.set(
        [(255 * x) / width, (255 * y) / height, 128 + 100 * Math.sin((x * y + orientation) / 900)],
        3 * i,
      );
    }
    const picture = sharp(data, { raw: { width, height, channels: 3 } }).withMetadata({ orientation });
    const bytes = await encode(picture, name).toBuffer();
    const file = `${orientation}.png`; // by content, not by name
    writeFileSync(
      join(root, name, 'upright', file),
      await encode(sharp(bytes).autoOrient(), name).toBuffer(),
    );
    await sharp(bytes)
      .png()
      .toFile(join(root, name, 'stored', file));
    writeFileSync(join(root, name, 'turned', file), bytes);
  }
  for (const kind of ['turned', 'upright', 'stored'])
    folders[`${name}/${kind}`] = await indexImageFolder(join(root, name, kind));
}

beforeAll(async () => {
  for (const name of ['png', 'tiff', 'jpeg'] as const) await makeFolders(name);
});

/** The rows of three epochs and of validation. */
async function rowsOf(folder: string, exifRotation?: boolean, side = 16): Promise<Uint8Array[]> {
  const inputs = imageInputs({ batchSize: 8, height: side, width: side + 4, patchCount: 9 });
  const source = folders[folder]!;
  const options = { source, inputs, seed: 3, numWorkers: 0, exifRotation };
  const train = new TrainLoader({ ...options, startEpoch: 0, startBatch: 0 });
  const validate = new ValidationLoader(options);
  const rows: Uint8Array[] = [];
  try {
    for (let i = 0; i < 3; i++) {
      const batch = await train.next();
      rows.push(Uint8Array.from(batch.inputs['images'] as Uint8Array));
      batch.release();
    }
    const batch = (await validate.next())!;
    rows.push(Uint8Array.from(batch.inputs['images'] as Uint8Array));
  } finally {
    await train.close();
    await validate.close();
  }
  return rows;
}

describe('the loader', () => {
  test.each(['png', 'tiff'])(
    '%s: the rows of turned pictures are those of upright ones, to the byte',
    async (name) => {
      const upright = await rowsOf(`${name}/upright`);
      expect(await rowsOf(`${name}/turned`)).toEqual(upright);
      expect(await rowsOf(`${name}/turned`, true)).toEqual(upright);
      const stored = await rowsOf(`${name}/stored`);
      expect(stored).not.toEqual(upright);
      expect(await rowsOf(`${name}/turned`, false)).toEqual(stored);
    },
  );

  test.each([16, 60, 200])(
    'jpeg, for %i pixels: the same regions, decoded at the same scale',
    async (side) => {
      const upright = await rowsOf('jpeg/upright', true, side);
      const turned = await rowsOf('jpeg/turned', true, side);
      for (const [i, rows] of turned.entries()) {
        const { mean, most } = difference(rows, upright[i]!);
        expect(mean, `batch ${i}`).toBeLessThan(0.4);
        expect(most, `batch ${i}`).toBeLessThanOrEqual(4);
      }
    },
  );
});

test.each(orientations)('loadImage leaves orientation %i alone where it is asked to', async (orientation) => {
  const name = `exif-${orientation}.jpg`;
  const stored = await loadImage(goldenPath(name), {
    height: 40,
    width: 24,
    fit: 'squash',
    exifRotation: false,
  });
  expect(difference(stored, golden('exif-1.jpg.rgb')).mean).toBeLessThan(0.1);
});

test('headers tell the size of the upright picture, and of AVIF what libheif has turned already', async () => {
  const decoder = new ImageDecoder();
  const turned = await decoder.header(golden('exif-6.jpg'), true);
  expect(turned).toMatchObject({ width: 40, height: 24, orientation: 6, stored: { width: 24, height: 40 } });
  expect(await decoder.header(golden('exif-6.jpg'))).toMatchObject({ width: 24, height: 40, orientation: 1 });
  const { kinds } = JSON.parse(golden('kinds.json').toString());
  const avif = Buffer.from(kinds['turned.avif'].file, 'base64');
  const { data, ...size } = await decoder.decode(avif, true);
  expect(size).toMatchObject({ width: kinds['turned.avif'].width, height: kinds['turned.avif'].height });
  expect(difference(data, Buffer.from(kinds['turned.avif'].rgb, 'base64')).most).toBeLessThanOrEqual(2);
});
