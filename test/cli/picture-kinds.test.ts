/** What a run and `mae reconstruct` say of how pictures were read, and which way up these are. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import { maeError, maeOk } from '../support/cli.js';
import { readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, args, newRun } = await trainingFiles(12);
const deep = join(images, 'deep-0.png');
const turned = join(folder, 'turned.jpg');
const said = '16-bit values up to 4000 are taken as 12-bit';

beforeAll(async () => {
  // an epoch is two whole batches of 8; which is met first depends on the threads
  for (let i = 0; i < 3; i++) {
    const data = new Uint16Array(32 * 24 * 3).map((_, k) => (k * 7 + i) % 4000);
    data[5] = 4000;
    const picture = sharp(data, { raw: { width: 32, height: 24, channels: 3 } });
    await picture
      .toColourspace('rgb16')
      .png()
      .toFile(join(images, `deep-${i}.png`));
  }
  const data = new Uint8Array(32 * 24 * 3).map((_, k) => (k % 96 < 48 ? 250 : 10));
  const picture = sharp(data, { raw: { width: 32, height: 24, channels: 3 } });
  await picture.withMetadata({ orientation: 6 }).jpeg().toFile(turned);
  writeFileSync(join(images, 'turned.jpg'), readFileSync(turned));
});

test('a run says once how pictures of a kind were read, in the log too, and records which way up they are', async () => {
  const run = newRun();
  const { stderr } = await maeOk(args(run, { 'val-path': images, 'num-workers': 2, epochs: 2 }));
  const lines = stderr.split('\n').filter((line) => line.includes(said));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/deep-\d\.png: 16-bit/);
  expect(readLog(run, 'note')).toMatchObject([{ kind: '16-bit as 12-bit', text: said }]);
  expect(readLog(run, 'skipped')).toEqual([]);
  const recorded = () => JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')).options['exif-rotation'];
  expect(recorded()).toBe(true);
  expect(await maeError(args(run, { epochs: 2, 'no-exif-rotation': true }))).toContain(
    'exif-rotation true there, false here',
  );
});

test('--no-exif-rotation: training and pictures see other pixels', async () => {
  const [upright, stored] = [newRun(), newRun()];
  const small = { epochs: 1, 'warmup-epochs': 0 };
  await maeOk(args(upright, small));
  const { stderr } = await maeOk(args(stored, { ...small, 'no-exif-rotation': true }));
  expect(stderr).toContain(said);
  const lossesOf = (run: string) => readLog(run, 'train').map(({ loss }) => loss);
  expect(lossesOf(upright)).not.toEqual(lossesOf(stored));

  const shown = async (...more: string[]) => {
    const output = join(folder, 'seen.png');
    const { stdout, stderr: notes } = await maeOk([
      ...[
        'reconstruct',
        turned,
        deep,
        join(images, 'deep-1.png'),
        '--checkpoint',
        upright,
        '-o',
        output,
        '--json',
      ],
      ...more,
    ]);
    expect(notes.split('\n').filter((line) => line.includes(said))).toEqual([`${deep}: ${said}`]);
    return stdout.split('\n').slice(0, 2);
  };
  const [seen, stays] = await shown();
  const [other, stayed] = await shown('--no-exif-rotation');
  expect(other).not.toBe(seen);
  expect(stayed).toBe(stays);
});
