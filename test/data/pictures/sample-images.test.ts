import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, it } from 'vitest';
import {
  renderSampleImage,
  sampleKinds,
  writeSampleImages,
} from '../../../src/data/pictures/sample-images.js';
import { UserError } from '../../../src/util/errors.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-samples-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex').slice(0, 16);

describe('rendering', () => {
  it('gives the same pixels everywhere', () => {
    const hashes = Array.from({ length: 6 }, (_, index) => sha256(renderSampleImage(0, index, 96, 64).data));
    expect(hashes).toMatchInlineSnapshot(`
      [
        "4800b441728243e9",
        "3d6681cee9632981",
        "d0caee809238b40d",
        "fc9d8a672f61e3c8",
        "af2dc150e26b6d46",
        "7d665bc5b4b89dc9",
      ]
    `);
  });

  it('is a function of the seed and the index', () => {
    const image = (seed: number, index: number) => sha256(renderSampleImage(seed, index, 40, 30).data);
    expect(image(3, 5)).toBe(image(3, 5));
    expect(new Set([image(3, 5), image(3, 8), image(4, 5), image(2 ** 40, 5)]).size).toBe(4);
  });

  it('takes the kinds in turn, and any size', () => {
    for (let index = 0; index < 9; index++) {
      const { data, kind } = renderSampleImage(0, index, 1 + 7 * index, 1 + 5 * index);
      expect(kind).toBe(sampleKinds[index % 3]);
      expect(data.length).toBe(3 * (1 + 7 * index) * (1 + 5 * index));
    }
  });

  it('gives images of many brightnesses and colours, smooth at small distances as photographs are', () => {
    const [width, height] = [128, 96];
    const means: number[] = [];
    const steps: number[] = [];
    for (let index = 0; index < 30; index++) {
      const { data } = renderSampleImage(1, index, width, height);
      let [sum, squares, near, far, colour] = [0, 0, 0, 0, 0];
      const pixels = width * height;
      for (let i = 0; i < pixels; i++) {
        const green = data[3 * i + 1]!;
        sum += green;
        squares += green * green;
        colour += Math.abs(data[3 * i]! - data[3 * i + 2]!);
        // Neighbours differ less than pixels that are far apart.
        near += (green - data[3 * ((i + 1) % pixels) + 1]!) ** 2;
        far += (green - data[3 * ((i + 37 * width + 41) % pixels) + 1]!) ** 2;
      }
      const mean = sum / pixels;
      means.push(mean);
      expect(Math.sqrt(squares / pixels - mean * mean), `deviation of ${index}`).toBeGreaterThan(6);
      expect(colour / pixels, `colour of ${index}`).toBeGreaterThan(2);
      expect(near / far, `steps of ${index}`).toBeLessThan(1);
      steps.push(near / far);
      expect(mean).toBeGreaterThan(15);
      expect(mean).toBeLessThan(240);
    }
    expect(steps.reduce((sum, step) => sum + step) / steps.length).toBeLessThan(0.4);
    expect(Math.max(...means) - Math.min(...means)).toBeGreaterThan(60);
  });
});

describe('writing', () => {
  it('makes class folders of JPEGs of several sizes, and leaves what is there alone', async () => {
    const done: number[] = [];
    const options = { count: 20, seed: 7, width: 64, height: 48 };
    const paths = await writeSampleImages(folder, { ...options, onProgress: (n) => done.push(n) });
    expect(done).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(readdirSync(folder).sort()).toEqual([...sampleKinds]);
    expect(paths[0]).toBe(join(folder, 'dead-leaves', 'dead-leaves-00001.jpg'));
    expect(paths[19]).toBe(join(folder, 'gradients', 'gradients-00007.jpg'));
    expect(new Set(paths).size).toBe(20);

    const sizes = new Set<string>();
    for (const path of paths) {
      const { format, width, height, channels } = await sharp(path).metadata();
      expect([format, channels]).toEqual(['jpeg', 3]);
      sizes.add(`${width}x${height}`);
    }
    expect([...sizes].sort()).toEqual(['48x48', '48x64', '64x48', '80x60']);
    expect(sha256(Buffer.concat(paths.map((path) => readFileSync(path))))).toMatchInlineSnapshot(
      `"b3e75bbe43f46585"`,
    );

    const before = paths.map((path) => statSync(path).mtimeMs);
    const half = readFileSync(paths[3]!).subarray(0, 100);
    writeFileSync(paths[3]!, half); // as a killed copy would leave it
    await writeSampleImages(folder, options);
    expect(readFileSync(paths[3]!).length).toBeGreaterThan(100);
    expect(paths.map((path) => statSync(path).mtimeMs).filter((time, i) => time !== before[i])).toHaveLength(
      1,
    );
  });

  it('decodes to the pixels that were rendered, but for the loss of JPEG', async () => {
    const [path] = await writeSampleImages(join(folder, 'one'), {
      count: 1,
      width: 64,
      height: 64,
      quality: 95,
    });
    const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    const { data: rendered } = renderSampleImage(0, 0, info.width, info.height);
    const error = rendered.reduce((sum, value, i) => sum + Math.abs(value - data[i]!), 0) / rendered.length;
    expect(error).toBeLessThan(4);
  });

  it('tells a user when the folder is a file', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const error = await writeSampleImages(file, { count: 1 }).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^sample images: expected to write .*, got ENOTDIR; a part of this path is a file/,
    );
  });
});
