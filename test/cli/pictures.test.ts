/** Sheets of reconstructions of `mae pretrain`: what they show, and that they change nothing. */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeOk } from '../support/cli.js';
import { type FlagValues, filesOf, readLog, tinyModel, writeImages } from '../support/cli-files.js';
import { readEvents } from '../support/event-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, newRun, args: trainingArgs } = await trainingFiles(24);
const val = join(folder, 'val');
const weights = ['model.safetensors', 'optimizer.safetensors', 'state.json'];
const size = tinyModel.inputSize;

/** Three steps an epoch. */
const args = (run: string, values: FlagValues = {}) =>
  trainingArgs(run, { 'val-path': val, epochs: 5, keep: 9, ...values });
const pictured = (run: string) =>
  readLog(run, 'pictures').map(({ epochs, step, path }) => [epochs, step, path]);
const sheets = (run: string) => readdirSync(join(run, 'pictures')).filter((name) => name.endsWith('.png'));

interface Description {
  readonly folder: string;
  readonly images: readonly { name: string; position: number }[];
  readonly rows: readonly string[];
  readonly tile: { width: number; height: number };
  readonly gap: number;
  readonly scale: number;
}
const describedIn = (run: string) =>
  JSON.parse(readFileSync(join(run, 'pictures/pictures.json'), 'utf8')) as Description;

/** The picture of a row and a column, as small as the model sees it. */
async function tileOf(run: string, sheet: string, row: number, column: number): Promise<Buffer> {
  const { tile, gap, scale } = describedIn(run);
  const [left, top] = [gap + column * (tile.width + gap), gap + row * (tile.height + gap)];
  return sharp(join(run, 'pictures', sheet))
    .extract({ left, top, ...tile })
    .resize(tile.width / scale, tile.height / scale, { kernel: 'nearest' })
    .raw()
    .toBuffer();
}

const whole = newRun();
let stderr: string;

beforeAll(async () => {
  await writeImages(val, 17);
  ({ stderr } = await maeOk(args(whole, { 'pictures-every': 2, seed: 3 })));
});

test('there is one of the fresh weights, one every so many epochs, one at the end', () => {
  const names = [0, 2, 4, 5].map((epochs) => `epoch-000${epochs}.png`);
  expect(sheets(whole)).toEqual(names);
  expect(pictured(whole)).toEqual([0, 2, 4, 5].map((n) => [n, 3 * n, `pictures/epoch-000${n}.png`]));
  expect(stderr).toContain(`pictures: every 2 epochs, of 8 images of ${val}`);
});

test('they are those of the validation folder, spread over it', () => {
  const { folder: root, images, rows } = describedIn(whole);
  expect(root).toBe(val);
  expect(images.map(({ position }) => position)).toEqual([0, 2, 4, 6, 8, 10, 12, 14]);
  expect(new Set(images.map(({ name }) => name)).size).toBe(8);
  for (const { name } of images) expect(existsSync(join(val, name)), name).toBe(true);
  expect(rows).toHaveLength(4);
});

test('each column is what mae reconstruct makes of the picture with that seed and those weights', async () => {
  const { images } = describedIn(whole);
  const output = join(folder, 'reconstructed.png');
  const checkpoint = join(whole, 'checkpoints/step-12');
  const files = images.map(({ name }) => join(val, name));
  await maeOk(['reconstruct', ...files, '--checkpoint', checkpoint, '--seed', '3', '-o', output]);
  const tile = 192; // its panels are of at least so many pixels, 8 apart
  for (const column of images.keys()) {
    for (const row of [0, 1, 2, 3]) {
      const place = { left: 8 + row * (tile + 8), top: 8 + column * (tile + 8), width: tile, height: tile };
      const wanted = await sharp(output)
        .extract(place)
        .resize(size, size, { kernel: 'nearest' })
        .raw()
        .toBuffer();
      const actual = await tileOf(whole, 'epoch-0004.png', row, column);
      expect(actual.equals(wanted), `row ${row}, column ${column}`).toBe(true);
    }
  }
  const [early, late] = await Promise.all(
    ['epoch-0000.png', 'epoch-0005.png'].map((sheet) => tileOf(whole, sheet, 2, 0)),
  );
  expect(early!.equals(late!)).toBe(false);
});

test('a run without has the same weights, one that is stopped and goes on the same pictures', async () => {
  const [plain, parts] = [newRun(), newRun()];
  await maeOk([...args(plain, { 'pictures-every': 0, seed: 3 }), '--no-tensorboard']);
  for (const steps of [2, 6, 10])
    await maeOk(args(parts, { 'pictures-every': 2, seed: 3, 'max-steps': steps }));
  // as if a kill had come after the checkpoint of the second epoch, in the middle of the third
  await maeOk(args(parts, { 'pictures-every': 2, seed: 3 }));
  expect(existsSync(join(plain, 'pictures'))).toBe(false);
  expect(existsSync(join(plain, 'tensorboard'))).toBe(false);
  for (const file of weights) {
    const [a, b, c] = [plain, whole, parts].map((run) =>
      readFileSync(join(run, 'checkpoints/step-15', file)),
    );
    expect(b!.equals(a!), file).toBe(true);
    expect(c!.equals(a!), file).toBe(true);
  }
  expect(filesOf(join(parts, 'pictures'))).toEqual(filesOf(join(whole, 'pictures')));
  expect(pictured(parts)).toEqual(pictured(whole));
  const [actual, wanted] = [parts, whole].map((run) => readEvents(join(run, 'tensorboard')));
  expect(actual!.images).toEqual(wanted!.images);
  expect(actual!.images.map(([tag, step]) => [tag, step])).toEqual(
    [0, 6, 12, 15].map((step) => ['reconstructions', step]),
  );
  const losses = ({ scalars }: typeof actual & object) => scalars.filter(([tag]) => /\/loss$/.test(tag));
  expect(losses(actual!)).toEqual(losses(wanted!));
});

test('a sheet that was logged after the checkpoint is drawn again, one that was not logged too', async () => {
  const run = newRun();
  const values = { 'pictures-every': 1, epochs: 2, 'num-workers': 0 };
  await maeOk(args(run, { ...values, 'max-steps': 3 }));
  const before = filesOf(join(run, 'pictures'));
  const log = readFileSync(join(run, 'log.jsonl'), 'utf8');
  const lines = log.split('\n').filter((line) => !line.includes('epoch-0001.png'));
  writeFileSync(join(run, 'log.jsonl'), lines.join('\n'));
  rmSync(join(run, 'pictures/epoch-0001.png'));
  await maeOk(args(run, values));
  expect(filesOf(join(run, 'pictures'))).toMatchObject(before);
  expect(pictured(run).map(([epochs]) => epochs)).toEqual([0, 1, 2]);
});

describe('without what they need', () => {
  test('without --val-path they are of the training images, and it is said', async () => {
    const run = newRun();
    const { stderr: said } = await maeOk(trainingArgs(run, { epochs: 1, 'max-steps': 1 }));
    expect(said).toMatch(
      /pictures: every epoch, of 8 images of .*, which are trained on: there is no --val-path/,
    );
    expect(sheets(run)).toEqual(['epoch-0000.png']); // no fraction of an epoch
  });

  test('a picture that cannot be written is a note, and the run goes on', async () => {
    const run = newRun();
    await maeOk(args(run, { epochs: 1, 'pictures-every': 0 }));
    writeFileSync(join(run, 'pictures'), 'in the way');
    const { stderr: notes } = await maeOk(args(run, { epochs: 1, 'pictures-every': 1 }));
    expect(notes).toMatch(/after epoch 1 {2}no pictures: pictures: expected to write .*/);
    expect(readLog(run, 'pictures_failed')).toMatchObject([{ epochs: 1, step: 3 }]);
  });

  test('pictures that cannot be read are passed over; a run that lost those it showed shows others, and says so', async () => {
    const some = join(folder, 'some');
    const names = await writeImages(some, 4);
    writeFileSync(names[0]!, 'no picture');
    const run = newRun();
    const values = { 'val-path': some, 'pictures-every': 1, epochs: 3 };
    await maeOk(args(run, { ...values, 'max-steps': 3 }));
    expect(describedIn(run).images).toHaveLength(3);
    rmSync(names[1]!);
    const { stderr: said } = await maeOk(args(run, values));
    expect(said).toContain('others are shown from now on');
    expect(describedIn(run).images).toHaveLength(2);
    expect(sheets(run)).toHaveLength(4);
  });
});
