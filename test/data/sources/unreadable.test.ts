/** Folders that the system refuses to read. Some refusals are real; root may read all, so others are made here. */

import { execFileSync } from 'node:child_process';
import type { Dir, PathLike } from 'node:fs';
import { mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { indexImageFolder } from '../../../src/data/sources/image-folder.js';
import { temporaryFolder } from '../support.js';

const fault = (code: string) => Object.assign(new Error(`${code}: made up`), { code });
/** What opening a folder of this name throws. */
const faults = new Map<string, Error>();

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof import('node:fs/promises')>();
  return {
    ...real,
    opendir: (path: PathLike, options: object): Promise<Dir> => {
      const error = faults.get(`${path}`.split('/').at(-1)!);
      return error === undefined ? real.opendir(path, options) : Promise.reject(error);
    },
  };
});

async function index(root: string, cacheFile?: string) {
  const notes: string[] = [];
  const note = (line: string) => void notes.push(line.replace(`${root}: `, ''));
  const folder = await indexImageFolder(root, { note, ...(cacheFile !== undefined && { cacheFile }) });
  return { paths: Array.from({ length: folder.length }, (_, i) => folder.relativePath(i)), notes };
}

function write(root: string, ...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), '');
  }
}

test('are passed over, a line for each kind, and read again when they can be', async () => {
  const root = temporaryFolder();
  const cacheFile = join(temporaryFolder(), 'index');
  write(root, 'a/1.jpg', 'locked/2.jpg', 'b/locked/3.jpg', 'gone/4.jpg', 'c/5.jpg');
  faults.set('locked', fault('EACCES'));
  faults.set('gone', fault('ENOENT'));
  const first = await index(root, cacheFile);
  expect(first.paths).toEqual(['a/1.jpg', 'c/5.jpg']);
  expect(first.notes).toEqual([
    '2 entries are passed over, such as b/locked: this user may not read them (EACCES)',
    '1 entry is passed over, such as gone: they were gone before they could be read (ENOENT)',
  ]);
  expect(await index(root, cacheFile)).toEqual(first);
  faults.clear();
  const { paths, notes } = await index(root, cacheFile);
  expect(paths).toEqual(['a/1.jpg', 'b/locked/3.jpg', 'c/5.jpg', 'gone/4.jpg', 'locked/2.jpg']);
  expect(notes).toEqual([]);
});

test('leave an error where nothing else is there, and where the machine is at its limits', async () => {
  const root = temporaryFolder();
  write(root, 'locked/2.jpg');
  faults.set('locked', fault('EACCES'));
  onTestFinished(() => faults.clear());
  await expect(index(root)).rejects.toThrow(/got no file .* such as locked: this user may not read/);
  write(root, '1.jpg');
  faults.set('locked', fault('EMFILE'));
  await expect(index(root)).rejects.toThrow(/expected to read .*locked, got EMFILE/);
});

test.skipIf(process.platform === 'win32')('pipes are no pictures, whatever their names', async () => {
  const root = temporaryFolder();
  write(root, '1.jpg', 'notes.txt');
  execFileSync('mkfifo', [join(root, '2.jpg')]);
  symlinkSync('2.jpg', join(root, '3.jpg'));
  const { paths, notes } = await index(root);
  expect(paths).toEqual(['1.jpg']);
  expect(notes).toEqual([
    '1 other file is passed over: 1 .txt; 2 special files are passed over (pipes, sockets, devices)',
  ]);
});

test.skipIf(process.platform === 'win32')('paths and links that are too long are passed over', async () => {
  const root = temporaryFolder();
  const elsewhere = temporaryFolder();
  const long = Array(10).fill('x'.repeat(240)).join('/');
  write(root, `${long}/1.jpg`, '2.jpg', 'real/3.jpg');
  write(elsewhere, `y/${long}/4.jpg`);
  // no path says where it is now
  renameSync(join(elsewhere, 'y'), join(root, long, 'y'));
  onTestFinished(() => renameSync(join(root, long, 'y'), join(elsewhere, 'y')));
  symlinkSync('real', join(root, 'link-0'));
  for (let i = 1; i < 60; i++) symlinkSync(`link-${i - 1}`, join(root, `link-${i}`));
  const { paths, notes } = await index(root);
  expect(paths).toEqual(expect.arrayContaining(['2.jpg', 'real/3.jpg', 'link-0/3.jpg', `${long}/1.jpg`]));
  expect(notes.find((line) => line.includes('ENAMETOOLONG'))).toMatch(
    /^1 entry is passed over, such as x+\//,
  );
  expect(notes.find((line) => line.includes('ELOOP'))).toMatch(/^\d+ entries are passed over, such as link-/);
  expect(notes).toHaveLength(2);
});
