/** `mae reconstruct` of folders. */
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeError, maeOk, maeOneLine } from '../support/cli.js';
import { gridOf, tileOf } from '../support/tiles.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, pictures, args } = await trainingFiles(24);
const run = join(folder, 'run');
const sorted = [...pictures].sort();
beforeAll(() => maeOk(args(run, { 'max-steps': 2 })));

interface Line {
  readonly image: string;
  readonly loss: number;
}

async function sheetOf(name: string, given: string[], ...flags: string[]) {
  const output = join(folder, `${name}.png`);
  const { stdout, stderr } = await maeOk([
    ...['reconstruct', ...given, '--checkpoint', run, '-o', output, '--json'],
    ...flags,
  ]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { output, stderr, lines, names: lines.map(({ image }) => image) };
}

/** Every picture within a level of 255: a graph of several images rounds the last bit another way. */
async function expectSameTiles(output: string, row: number, other: string, otherRow: number) {
  for (const column of [0, 1, 2, 3]) {
    const [a, b] = [await tileOf(output, row, column), await tileOf(other, otherRow, column)];
    const off = a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);
    expect(off, `row ${row}, column ${column}`).toBeLessThanOrEqual(1);
  }
}

test('a folder is eight of its images, spread over it, and a line says so', async () => {
  const { output, stderr, names } = await sheetOf('eight', [images]);
  expect(names).toEqual([0, 3, 6, 9, 12, 15, 18, 21].map((place) => sorted[place]));
  expect(stderr).toBe(`${images}: 8 of 24 images, spread over the folder\n`);
  expect(await gridOf(output)).toEqual({ rows: 8, columns: 4 });
});

test('rows are what mae reconstruct makes of the files; the first is that of the file alone', async () => {
  const { output, names, lines } = await sheetOf('ten', [images], '--count', '10'); // more than a batch
  expect(names).toHaveLength(10);
  const files = await sheetOf('files', names);
  for (const [row, { loss }] of files.lines.entries()) {
    await expectSameTiles(output, row, files.output, row);
    expect(lines[row]!.loss).toBeCloseTo(loss, 5);
  }
  const alone = await sheetOf('alone', [names[0]!]);
  await expectSameTiles(output, 0, alone.output, 0);
});

test('files and folders stand in the order given', async () => {
  const [first, last] = [sorted[5]!, sorted[20]!];
  const { output, names, stderr } = await sheetOf('mixed', [first, images, last], '--count', '3');
  expect(names).toEqual([first, sorted[0], sorted[8], sorted[16], last]);
  expect(stderr).toContain('3 of 24 images');
  const files = await sheetOf('mixed-files', names);
  for (const row of names.keys()) await expectSameTiles(output, row, files.output, row);
});

test('a small folder is shown whole', async () => {
  const small = join(folder, 'small');
  mkdirSync(small);
  for (const [i, path] of sorted.slice(0, 3).entries()) copyFileSync(path, join(small, `${i}.jpg`));
  const { names, stderr } = await sheetOf('small', [small]);
  expect(names).toEqual([0, 1, 2].map((i) => join(small, `${i}.jpg`)));
  expect(stderr).toBe(`${small}: all 3 images\n`);
});

describe('what cannot be read', () => {
  const damaged = join(folder, 'damaged');
  beforeAll(() => {
    mkdirSync(damaged);
    for (let i = 0; i < 8; i++) {
      const path = join(damaged, `${i}.jpg`);
      // the first half of the folder has one good picture, not its first; the third quarter has none
      if ([2, 6, 7].includes(i)) copyFileSync(sorted[i]!, path);
      else writeFileSync(path, 'no picture');
    }
  });

  test('is named, and one of the next stands in; a part without any has no row', async () => {
    const { names, stderr, lines, output } = await sheetOf('damaged', [damaged], '--count', '2');
    expect(names).toEqual([join(damaged, '2.jpg'), join(damaged, '6.jpg')]);
    for (const i of [0, 1, 4, 5])
      expect(stderr).toMatch(new RegExp(`^skipped .*/${i}\\.jpg: not a JPEG`, 'm'));
    expect(stderr).toContain('2 of 8 images');
    const four = await sheetOf('four', [damaged], '--count', '4');
    expect(four.names).toEqual([2, 6].map((i) => join(damaged, `${i}.jpg`)));
    expect(await gridOf(four.output)).toEqual({ rows: 2, columns: 4 });
    // the place in the sheet decides the mask: that of 2.jpg is the second of four, the first of two
    expect(four.lines[0]!.loss).not.toBeCloseTo(lines[0]!.loss, 4);
    expect(existsSync(output)).toBe(true);
  });

  test('a folder with nothing readable, or with no image, is one line; with others it is left out', async () => {
    const [bad, empty] = [join(folder, 'bad'), join(folder, 'empty')];
    for (const path of [bad, empty]) mkdirSync(path);
    writeFileSync(join(bad, 'a.jpg'), 'no picture');
    const output = join(folder, 'none.png');
    const command = (...given: string[]) => ['reconstruct', ...given, '--checkpoint', run, '-o', output];
    expect(await maeError(command(bad))).toMatch(/expected images that can be read in .*bad, got none/);
    expect(await maeOneLine(command(empty))).toMatch(/expected images below .*empty, got no file/);
    expect(existsSync(output)).toBe(false);
    expect(await maeError(command(bad, empty, images))).toMatch(/^2 of 10 images are not in .*none\.png$/);
    expect(await gridOf(output)).toEqual({ rows: 8, columns: 4 });
  });
});

test.each<[string, string[], RegExp]>([
  [
    'none',
    [images, '--count', '0'],
    /^--count: expected a whole number of at least 1 and at most 1000, got 0/,
  ],
  ['too many', [images, '--count', '1001'], /^--count: .*got 1001/],
  ['no number', [images, '--count', 'all'], /^--count: .*got "all"/],
  ['files alone', [sorted[0]!, '--count', '2'], /^--count: expected a folder of images, got files alone/],
])('--count of %s is one line', async (_, given, message) => {
  const output = join(folder, 'never.png');
  expect(await maeOneLine(['reconstruct', ...given, '--checkpoint', run, '-o', output])).toMatch(message);
  expect(existsSync(output)).toBe(false);
});
