import sharp from 'sharp';
import { expect, test } from 'vitest';
import { encodePng } from '../../../src/data/pictures/encode-png.js';
import { gridCanvas, gridLayout } from '../../../src/data/pictures/grid-canvas.js';
import { randomBytes } from '../../support/random.js';

test.each([
  [1, 1],
  [7, 3],
  [64, 40],
])('a picture of %i × %i is decoded to its pixels', async (width, height) => {
  const data = randomBytes(width, width * height * 3);
  const decoded = await sharp(encodePng({ width, height, data })).raw().toBuffer({ resolveWithObject: true });
  expect(decoded.info).toMatchObject({ width, height, channels: 3 });
  expect(decoded.data.equals(data)).toBe(true);
});

test('a grid has each picture where its layout says, enlarged, in white', () => {
  const size = { height: 2, width: 3 };
  const pictures = [0, 1, 2, 3].map((seed) => randomBytes(seed, 2 * 3 * 3));
  const layout = gridLayout(size, 5);
  expect(layout).toEqual({ scale: 2, gap: 8, tile: { height: 4, width: 6 } });
  const { width, height, data } = gridCanvas([pictures.slice(0, 2), pictures.slice(2)], layout);
  expect([width, height]).toEqual([3 * 8 + 2 * 6, 3 * 8 + 2 * 4]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [row, column] = [Math.floor((y - 8) / 12), Math.floor((x - 8) / 14)];
      const [inY, inX] = [(y - 8) % 12, (x - 8) % 14];
      const isTile = y >= 8 && x >= 8 && inY < 4 && inX < 6;
      const from = (Math.floor(inY / 2) * 3 + Math.floor(inX / 2)) * 3;
      const wanted = isTile ? [...pictures[row * 2 + column]!.subarray(from, from + 3)] : [255, 255, 255];
      expect([...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3)]).toEqual(wanted);
    }
  }
});
