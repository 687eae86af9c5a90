import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { indexImageFolder } from '../../src/data/sources/image-folder.js';
import { earlierRule } from '../../src/data/sources/what-counts.js';
import { keepImageList, openTrainImages } from '../../src/jobs/run-images.js';
import { pretrainDefaults } from '../../src/train/options.js';
import { describeRun, writeRunConfig } from '../../src/train/run-config.js';
import { tinyModel } from '../support/cli-files.js';

let folder: string;
let notes: string[];
const images = () => join(folder, 'images');
const run = () => join(folder, 'run');
const options = () => ({ ...pretrainDefaults, dataPath: images(), outputDir: run() });
const open = () => openTrainImages(options(), (line) => void notes.push(line));

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'mae-jobs-'));
  notes = [];
  vi.stubEnv('XDG_CACHE_HOME', join(folder, 'cache'));
  onTestFinished(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
});

function write(...names: string[]): void {
  mkdirSync(images(), { recursive: true });
  for (const name of names) writeFileSync(join(images(), name), '');
}

/** The directory of a run that took a step on the images. */
async function startRun(source: { length: number; fingerprint: string }): Promise<void> {
  mkdirSync(run(), { recursive: true });
  await writeRunConfig(
    run(),
    describeRun(options(), tinyModel, source, { mae: '0.1.0', onnxruntime: '1.30.0' }),
  );
  writeFileSync(join(run(), 'log.jsonl'), '{"type":"train","step":1,"epoch":0,"loss":1}\n');
}

test('a run from before there were lists goes on with what its version listed, and gets its list', async () => {
  write('a.jpg', '._a.jpg', 'b.png', 'c.gif', 'd.txt');
  // '._a.jpg\0a.jpg\0b.png\0'
  const fingerprint = '925a0cd5b1f8eede153af176eb1f1d7d5cee6a71e3dce6bf1b56b0ecaa2d53fb';
  const earlier = await indexImageFolder(images(), { rule: earlierRule });
  expect(earlier.fingerprint).toBe(fingerprint);
  await startRun({ length: 3, fingerprint });
  const source = await open();
  expect([0, 1, 2].map((i) => source.relativePath(i))).toEqual(['._a.jpg', 'a.jpg', 'b.png']);
  await keepImageList(run(), source);
  expect(readFileSync(join(run(), 'images.list'), 'utf8')).toBe('._a.jpg\0a.jpg\0b.png\0');
  // hidden names of a list are there, though a scan leaves them out
  rmSync(join(images(), 'b.png'));
  const later = await open();
  expect([0, 1, 2].map((i) => later.isMissing(i))).toEqual([false, false, true]);
  expect(notes.at(-2)).toMatch(/: 1 of the run's 3 images is no longer there, such as b\.png: /);
  expect(notes.at(-1)).toMatch(/: 1 image, such as c\.gif, came after .* with --output-dir \S+run-2$/);
});

test('half of the images may be gone, and no more', async () => {
  write('1.jpg', '2.jpg', '3.jpg', '4.jpg');
  const source = await open();
  await startRun(source);
  await keepImageList(run(), source);
  for (const name of ['1.jpg', '2.jpg']) rmSync(join(images(), name));
  const half = await open();
  expect(half.fingerprint).toBe(source.fingerprint);
  expect([0, 1, 2, 3].map((i) => half.isMissing(i))).toEqual([true, true, false, false]);
  rmSync(join(images(), '3.jpg'));
  await expect(open()).rejects.toThrow(/expected the 4 images of .*, got 1 of them \(1\.jpg is not there/);
  rmSync(join(images(), '4.jpg'));
  await expect(open()).rejects.toThrow(/expected the 4 images of .*, got 0 of them/);
});
