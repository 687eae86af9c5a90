/** `mae reconstruct --over-time`: one image through the checkpoints of a run. */
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeError, maeOk, maeOneLine } from '../support/cli.js';
import { readTensorFile, writeTensorFile } from '../support/cli-files.js';
import { gridOf, tileGap, tileOf } from '../support/tiles.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, pictures, newRun, args } = await trainingFiles(16);
const [picture] = pictures;
const run = newRun();
/** Pixels above the grid: a gap, and letters of five pixels by three. */
const band = tileGap + 15;
const checkpointOf = (of: string, step: number) => join(of, `checkpoints/step-${step}`);

// two steps an epoch
beforeAll(() => maeOk(args(run, { epochs: 3, keep: 9, 'save-every': 1 })));

interface Line {
  readonly step: number;
  readonly epoch: number;
  readonly column: number;
  readonly loss: number;
  readonly checkpoint: string;
}

async function overTime(of: string, ...flags: string[]) {
  const output = join(folder, 'time.png');
  const { stdout, stderr } = await maeOk([
    ...['reconstruct', picture, '--over-time', of, '-o', output, '--json'],
    ...flags,
  ]);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
  return { output, lines, stderr };
}

async function alone(checkpoint: string, ...flags: string[]) {
  const output = join(folder, 'alone.png');
  const command = ['reconstruct', picture, '--checkpoint', checkpoint, '-o', output, '--json', ...flags];
  const { stdout } = await maeOk(command);
  return { output, loss: (JSON.parse(stdout) as Line).loss };
}

test.each([[[]], [['--seed', '4', '--mask-ratio', '0.5', '--fit', 'squash']]])(
  'columns are what mae reconstruct makes with each checkpoint, to the pixel: %j',
  async (flags: string[]) => {
    const { output, lines, stderr } = await overTime(run, ...flags);
    expect(stderr).toBe('');
    expect(lines.map(({ step, epoch, column }) => [step, epoch, column])).toEqual([
      [2, 1, 2],
      [4, 2, 3],
      [6, 3, 4],
    ]);
    expect(await gridOf(output, band)).toEqual({ rows: 2, columns: 4 });
    const tiles: string[] = [];
    for (const { step, column, loss } of lines) {
      const one = await alone(checkpointOf(run, step), ...flags);
      expect(loss).toBe(one.loss);
      for (const row of [0, 1]) {
        const tile = await tileOf(output, row, column - 1, band);
        expect(tile.equals(await tileOf(one.output, 0, 2 + row)), `step ${step}`).toBe(true);
        const first = await tileOf(output, row, 0, band);
        expect(first.equals(await tileOf(one.output, 0, row))).toBe(true);
        tiles.push(tile.toString('base64'));
      }
    }
    expect(new Set(tiles).size).toBe(6);
    const last = await alone(run, ...flags);
    expect((await tileOf(output, 0, 3, band)).equals(await tileOf(last.output, 0, 2))).toBe(true);
  },
);

test('the step stands above each column, and the lines say the epoch', async () => {
  const output = join(folder, 'labels.png');
  const { stdout } = await maeOk(['reconstruct', picture, '--over-time', run, '-o', output]);
  expect(stdout).toMatch(
    /^column 2: step 2, epoch 1 {2}loss \d\.\d{4}\ncolumn 3: step 4, epoch 2 .*\ncolumn 4: step 6, epoch 3 .*\nwrote .*\n$/,
  );
  const bandAt = (left: number, width: number) =>
    sharp(output).extract({ left, top: tileGap, width, height: 15 }).greyscale();
  // three pixels of the picture for one of a letter
  const letters = await bandAt(tileGap + 200, 72)
    .resize(24, 5, { kernel: 'nearest' })
    .raw()
    .toBuffer();
  const rows = [0, 1, 2, 3, 4].map((row) =>
    [...letters.subarray(row * 24, (row + 1) * 24)].map((value) => (value < 128 ? '#' : ' ')).join(''),
  );
  expect(rows).toEqual([
    '### ### ### ###     ### ',
    '#    #  #   # #       # ',
    '###  #  ### ###     ### ',
    '  #  #  #   #       #   ',
    '###  #  ### #       ### ',
  ]);
  // the original has none
  const first = await bandAt(0, tileGap + 200)
    .raw()
    .toBuffer();
  expect(first.every((value) => value === 255)).toBe(true);
});

describe('a run that is not whole', () => {
  test('damaged checkpoints, and those without a number, are named and left out', async () => {
    const broken = newRun();
    cpSync(run, broken, { recursive: true });
    const model = join(checkpointOf(broken, 2), 'model.safetensors');
    const bytes = readFileSync(model);
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(model, bytes);
    const { lines, stderr, output } = await overTime(broken);
    expect(lines.map(({ step }) => step)).toEqual([4, 6]);
    expect(stderr).toMatch(/^left out: step-2 is damaged \(model\.safetensors is not what was saved\)\n$/);
    const one = await alone(checkpointOf(run, 4));
    expect((await tileOf(output, 0, 1, band)).equals(await tileOf(one.output, 0, 2))).toBe(true);

    const diverged = join(checkpointOf(broken, 4), 'model.safetensors');
    const { metadata, tensors } = readTensorFile(diverged);
    tensors.get('norm.bias')!.data[0] = Number.NaN;
    writeTensorFile(diverged, { metadata, tensors });
    rmSync(join(checkpointOf(broken, 4), 'SHA256SUMS'));
    const left = await overTime(broken);
    expect(left.lines.map(({ step, column }) => [step, column])).toEqual([[6, 2]]);
    expect(left.stderr).toMatch(/^left out: .*NaN/m);

    rmSync(join(checkpointOf(broken, 6), 'model.safetensors'));
    const command = ['reconstruct', picture, '--over-time', broken, '-o', join(folder, 'no.png')];
    expect(await maeError(command)).toMatch(/expected checkpoints that can be used in .*got none/);
    expect(existsSync(join(folder, 'no.png'))).toBe(false);
  });

  test('steps from before it was resumed are named and left out', async () => {
    const resumed = newRun();
    cpSync(run, resumed, { recursive: true });
    writeFileSync(join(resumed, 'checkpoints/latest'), 'step-4\n');
    const { lines, stderr } = await overTime(resumed);
    expect(lines.map(({ step }) => step)).toEqual([2, 4]);
    expect(stderr).toBe('left out: step-6, from before the run was resumed\n');
  });
});

test('what is no run of pretraining, and what does not go together, is one line', async () => {
  const [empty, fresh, tuned] = [join(folder, 'empty'), newRun(), newRun()];
  mkdirSync(empty);
  cpSync(run, fresh, { recursive: true });
  rmSync(join(fresh, 'checkpoints'), { recursive: true });
  cpSync(run, tuned, { recursive: true });
  const config = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8')) as object;
  writeFileSync(join(tuned, 'config.json'), JSON.stringify({ ...config, command: 'finetune' }));
  const output = join(folder, 'never.png');
  const rows: [string[], RegExp][] = [
    [
      [picture, '--over-time', join(folder, 'nowhere')],
      /expected the run directory of mae pretrain, got .*nowhere, which is none/,
    ],
    [[picture, '--over-time', empty], /got .*empty, which is none/],
    [[picture, '--over-time', picture], /got .*\.jpg, which is none/],
    [[picture, '--over-time', checkpointOf(run, 2)], /got .*step-2, which is none/],
    [[picture, '--over-time', fresh], /expected checkpoints in .*got none; train until/],
    [[picture, '--over-time', tuned], /got .* of mae finetune, which has no decoder/],
    [[picture, pictures[1]!, '--over-time', run], /expected one image, got 2/],
    [[images, '--over-time', run], /expected .*images to be a file, got a folder/],
    [[join(folder, 'nowhere.jpg'), '--over-time', run], /nowhere\.jpg/],
    [
      [picture, '--over-time', run, '--checkpoint', run],
      /^--checkpoint: expected no --checkpoint beside --over-time/,
    ],
    [[picture, '--over-time', run, '--count', '2'], /^--count: expected no --count beside --over-time/],
    [[picture], /^--checkpoint: expected --checkpoint, or --over-time with a run, got neither/],
    [[picture, '--over-time', run, '--mask-ratio', '0.99'], /--mask-ratio: expected a share/],
  ];
  for (const [given, message] of rows)
    expect(await maeOneLine(['reconstruct', ...given, '-o', output]), given.join(' ')).toMatch(message);
  const inRun = ['reconstruct', picture, '--over-time', run, '-o', join(run, 'pictures/time.png')];
  expect(await maeOneLine(inRun)).toMatch(/got one in .*pictures of a run/);
  expect(existsSync(output)).toBe(false);
});
