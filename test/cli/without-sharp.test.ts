/** `mae reconstruct` where sharp does not load: JPEG in, PNG and JPEG out. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeOk, maeOneLine, root } from '../support/cli.js';
import { filesOf } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, pictures, args } = await trainingFiles(16);
const run = join(folder, 'run');
const at = (name: string) => join(folder, name);
const hook = pathToFileURL(join(root, 'test/support/without-sharp.mjs')).href;
const without = { env: { NODE_OPTIONS: `--import=${hook}` } };
const command = (output: string, ...given: string[]) => [
  ...['reconstruct', ...(given.length > 0 ? given : [pictures[0]]), '--checkpoint', run, '-o', at(output)],
];

beforeAll(async () => {
  await maeOk(args(run, { 'max-steps': 2 }));
  await maeOk(command('with.png'));
});

const pixelsOf = async (path: string) => {
  const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels };
};

test('it does not load', async () => {
  const { stdout } = await maeOk(['doctor'], without);
  expect(stdout).toContain('sharp does not load');
});

test('a PNG has the pixels that it has with sharp', async () => {
  const { stdout, stderr } = await maeOk(command('without.png'), without);
  expect([stdout, stderr]).toEqual([expect.stringMatching(/loss .*\nwrote .*without\.png\n$/), '']);
  expect(await pixelsOf(at('without.png'))).toEqual(await pixelsOf(at('with.png')));
});

test('a JPEG is near them', async () => {
  await maeOk(command('without.jpg'), without);
  const [jpeg, png] = [await pixelsOf(at('without.jpg')), await pixelsOf(at('with.png'))];
  expect([jpeg.width, jpeg.height]).toEqual([png.width, png.height]);
  const off = png.data.reduce((sum, value, i) => sum + Math.abs(value - jpeg.data[i]!), 0) / png.data.length;
  expect(off).toBeLessThan(3);
});

test.each(['png', 'jpg'])(
  'a .%s of either may be written again by the other; a foreign one may not',
  async (ending) => {
    for (const first of [undefined, without]) {
      const name = `${first ? 'a' : 'b'}.${ending}`;
      await maeOk(command(name), first);
      await maeOk(command(name), first ? undefined : without);
      expect((await sharp(at(name)).metadata()).exif?.toString('latin1')).toContain('mae reconstruct');
    }
    const foreign = at(`foreign.${ending}`);
    await sharp(pictures[0])
      .withExif({ IFD0: { Software: 'another' } })
      .toFile(foreign);
    const before = readFileSync(foreign);
    expect(await maeOneLine(command(`foreign.${ending}`), without)).toMatch(/got a file of something else/);
    writeFileSync(at(`text.${ending}`), 'Exif mae reconstruct\0');
    expect(await maeOneLine(command(`text.${ending}`), without)).toMatch(/got a file of something else/);
    expect(readFileSync(foreign).equals(before)).toBe(true);
  },
);

test('folders, --over-time and --show are there too', async () => {
  const sheet = await maeOk(command('sheet.png', images, '--show=blocks'), without);
  expect(sheet.stdout).toContain('▀');
  await maeOk(command('sheet-with.png', images));
  expect(await pixelsOf(at('sheet.png'))).toEqual(await pixelsOf(at('sheet-with.png')));
  await maeOk(['reconstruct', pictures[0], '--over-time', run, '-o', at('time.png')], without);
  await maeOk(['reconstruct', pictures[0], '--over-time', run, '-o', at('time-with.png')]);
  expect(await pixelsOf(at('time.png'))).toEqual(await pixelsOf(at('time-with.png')));
});

describe('what needs sharp is one line that says so', () => {
  test('WebP out, before any work', async () => {
    const before = filesOf(folder);
    expect(await maeOneLine(command('out.webp', at('nowhere.jpg')), without)).toMatch(
      /^--output: expected sharp for .*out\.webp, got none \(Could not load[^\n]*\); write a \.png or \.jpg, or run npm install again$/,
    );
    expect(filesOf(folder)).toEqual(before);
  });

  test('mae evaluate -o, before any work; without -o it runs', async () => {
    const evaluate = ['evaluate', '--checkpoint', run, '--train-path', images, '--val-path', images];
    expect(await maeOneLine([...evaluate, '-o', at('charts')], without)).toMatch(
      /^--output: expected sharp, which draws the charts, got none \(.*\); leave --output out, or run npm/,
    );
    expect(existsSync(at('charts'))).toBe(false);
    await maeOk([...evaluate, '--method', 'knn', '--shots', '1'], without);
  });

  test('PNG in, of a folder too', async () => {
    mkdirSync(at('pngs'));
    copyFileSync(at('with.png'), at('pngs/a.png'));
    for (const given of [at('with.png'), at('pngs')]) {
      expect(await maeOneLine(command('none.png', given), without)).toMatch(
        /^image: expected sharp for all but JPEG and BMP, got none \(sharp does not load: [^\n]*; run npm install again$/,
      );
    }
    expect(existsSync(at('none.png'))).toBe(false);
  });
});
