/** SHA256SUMS and what is done with a checkpoint whose files are no longer what was saved. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { allCheckpointFiles, type CheckpointFile } from '../../../src/weights/checkpoint/checkpoint-files.js';
import { damageOf } from '../../../src/weights/checkpoint/digests.js';
import { writeCheckpoint } from '../../../src/weights/checkpoint/run-directory.js';
import { writeSafetensors } from '../../../src/weights/checkpoint/safetensors.js';
import { writeState } from '../../../src/weights/checkpoint/state.js';
import { resolveWholeCheckpoint, wholeCheckpoint } from '../../../src/weights/checkpoint/whole-checkpoint.js';
import { temporaryFolder } from '../../train/support.js';

let run: string;
const folderOf = (step: number) => join(run, 'checkpoints', `step-${step}`);

/** Three checkpoints of a little over two pieces that are hashed at a time. */
beforeEach(async () => {
  run = join(temporaryFolder(), 'run');
  for (const step of [1, 2, 3]) {
    const write = async (folder: string) => {
      for (const part of ['model', 'optimizer']) {
        const data = new Uint8Array(part === 'model' ? 2 ** 23 + 100 : 100).fill(step);
        const tensor = { name: part, dtype: 'U8', shape: [data.length], data } as const;
        await writeSafetensors(join(folder, `${part}.safetensors`), [tensor]);
      }
      await writeState(folder, { step });
    };
    await writeCheckpoint(run, step, write, 3);
  }
});

function change(path: string, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  edit(bytes);
  writeFileSync(path, bytes);
}

const flip = (path: string) =>
  change(path, (bytes) => {
    bytes[bytes.length - 10]! ^= 1;
  });

/** What can happen to a checkpoint, and what is said of it. */
const damages: [string, (folder: string) => void, string][] = [
  ['a bit', (f) => flip(join(f, 'optimizer.safetensors')), 'optimizer.safetensors is not what was saved'],
  [
    'four megabytes of zeros in the middle',
    (f) => change(join(f, 'model.safetensors'), (bytes) => bytes.fill(0, 2 ** 21, 2 ** 21 + 4e6)),
    'model.safetensors is not what was saved',
  ],
  ['an end', (f) => truncateSync(join(f, 'model.safetensors'), 2 ** 22), 'model.safetensors is not what'],
  ['nothing left', (f) => truncateSync(join(f, 'state.json'), 0), 'state.json is not what was saved'],
  ['no file', (f) => rmSync(join(f, 'optimizer.safetensors')), 'optimizer.safetensors is missing'],
  ['a torn list', (f) => truncateSync(join(f, 'SHA256SUMS'), 100), 'SHA256SUMS is torn'],
  ['an empty list', (f) => truncateSync(join(f, 'SHA256SUMS'), 0), 'SHA256SUMS is torn'],
];

test('sha256sum reads SHA256SUMS', () => {
  const printed = execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folderOf(3), encoding: 'utf8' });
  expect(printed).toBe('model.safetensors: OK\noptimizer.safetensors: OK\nstate.json: OK\n');
});

describe.each(damages)('%s', (_, damage, said) => {
  test('is passed over for the newest whole one, and named', async () => {
    expect(await damageOf(folderOf(3))).toBeUndefined();
    damage(folderOf(3));
    expect(await damageOf(folderOf(3))).toContain(said);
    const notes: string[] = [];
    const found = await wholeCheckpoint(run, allCheckpointFiles, (line) => notes.push(line));
    expect(found).toEqual({ folder: folderOf(2), step: 2 });
    expect(notes).toEqual([
      expect.stringMatching(`^checkpoint: step-3 is damaged \\(${said}.*going on from step-2$`),
    ]);
  });

  test('is refused where it was named', async () => {
    damage(folderOf(3));
    const refused = resolveWholeCheckpoint(folderOf(3), allCheckpointFiles, () => {});
    await expect(refused).rejects.toThrow(
      new RegExp(
        `step-3 as it was saved, got a damaged one \\(${said}.*give .*/step-2, the newest whole one`,
      ),
    );
  });
});

test('all of them damaged is an error that names each', async () => {
  for (const step of [1, 2, 3]) flip(join(folderOf(step), 'model.safetensors'));
  const search = wholeCheckpoint(run, allCheckpointFiles, () => {});
  await expect(search).rejects.toThrow(
    /got none \(step-3 is .*, step-2 is .*, step-1 is .*\); copy one back/,
  );
});

test('weights alone ask for no more than their file', async () => {
  flip(join(folderOf(3), 'optimizer.safetensors'));
  rmSync(join(folderOf(3), 'state.json'));
  const { modelPath } = await resolveWholeCheckpoint(run, ['model.safetensors'], () => {});
  expect(basename(join(modelPath, '..'))).toBe('step-3');
});

test('later ones, of a run that was resumed from before them, come last', async () => {
  writeFileSync(join(run, 'checkpoints', 'latest'), 'step-2\n');
  expect((await wholeCheckpoint(run, allCheckpointFiles, () => {}))?.step).toBe(2);
  flip(join(folderOf(2), 'state.json'));
  expect((await wholeCheckpoint(run, allCheckpointFiles, () => {}))?.step).toBe(1);
  flip(join(folderOf(1), 'state.json'));
  expect((await wholeCheckpoint(run, allCheckpointFiles, () => {}))?.step).toBe(3);
});

describe('a checkpoint of an earlier version, without SHA256SUMS', () => {
  test.each<[CheckpointFile, number]>([
    ['model.safetensors', 2 ** 22],
    ['optimizer.safetensors', 60],
    ['state.json', 12],
  ])('is checked by what it has: %s', async (name, bytes) => {
    rmSync(join(folderOf(3), 'SHA256SUMS'));
    expect(await damageOf(folderOf(3))).toBeUndefined();
    truncateSync(join(folderOf(3), name), bytes);
    expect(await damageOf(folderOf(3))).toBe(`${name} is torn`);
  });
});

test('a folder called checkpoints that is no run of ours is left alone', async () => {
  const foreign = join(temporaryFolder(), 'checkpoints', 'mae-base');
  mkdirSync(foreign, { recursive: true });
  await writeSafetensors(join(foreign, 'model.safetensors'), []);
  const found = await resolveWholeCheckpoint(foreign, allCheckpointFiles, () => {});
  expect(found.folder).toBeUndefined();
});
