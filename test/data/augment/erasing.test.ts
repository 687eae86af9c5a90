import { expect, test } from 'vitest';
import { drawErasedBox, erase } from '../../../src/data/augment/erasing.js';
import { normalizeByte } from '../../../src/model/imagenet.js';
import { RandomStream } from '../../../src/util/random.js';

const size = { height: 60, width: 80 };
const pixels = size.height * size.width;
const draws = 8000;
const boxes = Array.from({ length: draws }, (_, position) =>
  drawErasedBox(new RandomStream(2, 'erasing', 0, position), size, 0.25),
);

test('a share of the images has a box of 2 to 33 % inside, of every aspect from 0.3 to 3.3', () => {
  const drawn = boxes.filter((box) => box !== undefined);
  const error = Math.sqrt((0.25 * 0.75) / draws);
  expect(Math.abs(drawn.length / draws - 0.25)).toBeLessThan(4.5 * error);
  const areas = drawn.map(({ width, height }) => (width * height) / pixels).sort((a, b) => a - b);
  expect(areas[0]).toBeGreaterThan(0.018);
  expect(areas[0]).toBeLessThan(0.025);
  expect(areas.at(-1)).toBeGreaterThan(0.31);
  expect(areas.at(-1)).toBeLessThan(0.345);
  const aspects = drawn.map(({ width, height }) => Math.log(height / width));
  expect(Math.max(...aspects)).toBeGreaterThan(1.1);
  expect(Math.min(...aspects)).toBeLessThan(-1.1);
  expect(Math.max(...aspects.map(Math.abs))).toBeLessThan(1.35);
  for (const { left, top, width, height } of drawn) {
    expect(left >= 0 && top >= 0 && left + width <= size.width && top + height <= size.height).toBe(true);
    expect(width < size.width && height < size.height).toBe(true);
  }
  expect(drawn.some(({ left }) => left === 0)).toBe(true);
  expect(drawn.some(({ left, width }) => left + width === size.width)).toBe(true);
});

test('never and always are possible', () => {
  expect(drawErasedBox(new RandomStream(1, 'erasing'), size, 0)).toBeUndefined();
  expect(drawErasedBox(new RandomStream(1, 'erasing'), size, 1)).toBeDefined();
});

test('in the box the sum is noise of mean 0 and deviation 1, beside it the picture', () => {
  const box = { left: 3, top: 5, width: 70, height: 51 };
  const data = new Uint8Array(pixels * 3).fill(77);
  const added = new Float32Array(pixels * 3).fill(5); // of the batch before
  erase(new RandomStream(9, 'erasing'), data, added, size.width, box);
  const noise: number[][] = [[], [], []];
  for (let i = 0; i < data.length; i++) {
    const [x, y] = [Math.floor(i / 3) % size.width, Math.floor(i / 3 / size.width)];
    if (x >= 3 && x < 73 && y >= 5 && y < 56) {
      expect(data[i]).toBe(0);
      noise[i % 3]!.push(normalizeByte(data[i]!, i % 3) + added[i]!);
    } else expect([data[i], added[i]]).toEqual([77, 0]);
  }
  for (const values of noise) {
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const variance = values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
    expect(Math.abs(mean)).toBeLessThan(4.5 / Math.sqrt(values.length));
    expect(Math.abs(variance - 1)).toBeLessThan(4.5 * Math.sqrt(2 / values.length));
  }
  erase(new RandomStream(9, 'erasing'), data, added, size.width, undefined);
  expect(added.every((value) => value === 0)).toBe(true);
});
