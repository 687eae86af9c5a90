import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ImageFolder, indexImageFolder } from '../../../src/data/sources/image-folder.js';
import { PathListBuilder } from '../../../src/data/sources/path-list.js';
import { UserError } from '../../../src/util/errors.js';
import { temporaryFolder } from '../support.js';

function write(root: string, ...paths: string[]): void {
  for (const path of paths) {
    mkdirSync(join(root, path, '..'), { recursive: true });
    writeFileSync(join(root, path), '');
  }
}

const list = (folder: ImageFolder) => Array.from({ length: folder.length }, (_, i) => folder.relativePath(i));
const sha256 = (paths: string[]) =>
  createHash('sha256')
    .update(paths.map((path) => `${path}\0`).join(''))
    .digest('hex');

describe('indexImageFolder', () => {
  test('finds images at any depth, by extension in any case, in the order of their bytes', async () => {
    const root = temporaryFolder();
    write(
      root,
      'b/1.jpg',
      'b.x/1.JPEG',
      'a/deep/er/z.PNG',
      'top.webp',
      'Z.tif',
      'é.tiff',
      'a/notes.txt',
      'a/jpg',
      'c/x.gif',
      'a/x.jpg.txt',
    );
    const folder = await indexImageFolder(root);
    const wanted = ['Z.tif', 'a/deep/er/z.PNG', 'b.x/1.JPEG', 'b/1.jpg', 'top.webp', 'é.tiff'];
    expect(list(folder)).toEqual(wanted);
    expect(folder.name(3)).toBe(join(root, 'b', '1.jpg'));
    expect(folder.root).toBe(root);
    expect(folder.fingerprint).toBe(sha256(wanted));
    expect(folder.classNames).toEqual(['a', 'b', 'b.x']);
    expect(wanted.map((_, i) => folder.labelOf(i))).toEqual([-1, 0, 2, 1, -1, -1]);
    expect(() => folder.name(6)).toThrow(RangeError);
  });

  test('a flat folder has no classes', async () => {
    const root = temporaryFolder();
    write(root, '1.jpg', '2.jpg');
    expect((await indexImageFolder(root)).classNames).toEqual([]);
  });

  test('the fingerprint changes with any name', async () => {
    const root = temporaryFolder();
    write(root, 'a/1.jpg', 'a/2.jpg');
    const before = (await indexImageFolder(root)).fingerprint;
    expect((await indexImageFolder(root)).fingerprint).toBe(before);
    write(root, 'a/3.jpg');
    expect((await indexImageFolder(root)).fingerprint).not.toBe(before);
  });

  test.skipIf(process.platform === 'win32')('follows links, not loops, and lists broken ones', async () => {
    const root = temporaryFolder();
    const elsewhere = temporaryFolder();
    write(root, 'a/1.jpg');
    write(elsewhere, 'far/2.jpg', 'single.dat');
    symlinkSync(join(elsewhere, 'far'), join(root, 'linked'));
    symlinkSync(join(elsewhere, 'single.dat'), join(root, 'file.jpg'));
    symlinkSync(root, join(root, 'a', 'up'));
    symlinkSync('.', join(root, 'a', 'self'));
    symlinkSync(root, join(elsewhere, 'far', 'back'));
    symlinkSync('nowhere', join(root, 'broken.jpg'));
    symlinkSync('spin', join(root, 'spin'));
    expect(list(await indexImageFolder(root))).toEqual(['a/1.jpg', 'broken.jpg', 'file.jpg', 'linked/2.jpg']);
  });

  test('a missing, empty or mistaken folder is a UserError that says what was looked for', async () => {
    const root = temporaryFolder();
    write(root, 'empty/readme.txt', 'file.jpg/x.txt', 'plain');
    for (const [path, words] of [
      ['missing', 'got nothing'],
      ['plain', 'got a file'],
      ['plain/below', 'got nothing'],
      ['empty', 'got no file that ends in'],
      ['file.jpg', 'got no file that ends in'],
    ] as const) {
      const indexing = indexImageFolder(join(root, path));
      await expect(indexing).rejects.toThrow(UserError);
      await expect(indexing).rejects.toThrow(words);
      await expect(indexing).rejects.toThrow(join(root, path));
      await expect(indexing).rejects.toThrow('jpg, jpeg, png, webp, tif, tiff');
    }
  });
});

describe('the cached index', () => {
  /** Folders rest at a time long gone, as those of a data set do. */
  function rest(root: string, ...paths: string[]): void {
    for (const path of paths) utimesSync(join(root, path), 1_600_000_000, 1_600_000_000);
  }

  test('is used while no folder changes and renewed when one does', async () => {
    const root = temporaryFolder();
    const cacheFile = join(temporaryFolder(), 'deep', 'index.bin');
    write(root, 'a/1.jpg', 'b/2.jpg');
    rest(root, '.', 'a', 'b');
    const first = await indexImageFolder(root, { cacheFile });
    const saved = readFileSync(cacheFile);

    // Another file, but the folder's time put back: only an index that comes from the cache misses it.
    write(root, 'b/3.jpg');
    rest(root, 'b');
    const second = await indexImageFolder(root, { cacheFile });
    expect(list(second)).toEqual(['a/1.jpg', 'b/2.jpg']);
    expect(second.fingerprint).toBe(first.fingerprint);
    expect(second.classNames).toEqual(['a', 'b']);
    expect(readFileSync(cacheFile)).toEqual(saved);

    write(root, 'b/4.jpg');
    expect(list(await indexImageFolder(root, { cacheFile }))).toEqual([
      'a/1.jpg',
      'b/2.jpg',
      'b/3.jpg',
      'b/4.jpg',
    ]);
    rmSync(join(root, 'a'), { recursive: true });
    expect(list(await indexImageFolder(root, { cacheFile }))).toEqual(['b/2.jpg', 'b/3.jpg', 'b/4.jpg']);
  });

  test('of another root is not used', async () => {
    const cacheFile = join(temporaryFolder(), 'index.bin');
    const roots = [temporaryFolder(), temporaryFolder()] as const;
    write(roots[0], '1.jpg');
    write(roots[1], '2.jpg');
    await indexImageFolder(roots[0], { cacheFile });
    expect(list(await indexImageFolder(roots[1], { cacheFile }))).toEqual(['2.jpg']);
  });

  test('is rebuilt when any byte of it is damaged', async () => {
    const root = temporaryFolder();
    const cacheFile = join(temporaryFolder(), 'index.bin');
    write(root, 'a/1.jpg', 'a/2.jpg');
    await indexImageFolder(root, { cacheFile });
    const good = readFileSync(cacheFile);
    const damaged = [Buffer.alloc(0), Buffer.from('x'), good.subarray(0, 40), good.subarray(0, -1)];
    for (let at = 0; at < good.length; at += 7) {
      const copy = Buffer.from(good);
      copy[at]! ^= 0x41;
      damaged.push(copy);
    }
    for (const bytes of damaged) {
      writeFileSync(cacheFile, bytes);
      expect(list(await indexImageFolder(root, { cacheFile }))).toEqual(['a/1.jpg', 'a/2.jpg']);
      expect(readFileSync(cacheFile)).toEqual(good);
    }
  });

  test('that cannot be written is done without', async () => {
    const root = temporaryFolder();
    write(root, '1.jpg');
    const folder = await indexImageFolder(root, { cacheFile: join(root, '1.jpg', 'index') });
    expect(list(folder)).toEqual(['1.jpg']);
  });
});

test('1.3 million paths take their bytes and 8 more each', () => {
  const count = 1_300_000;
  const builder = new PathListBuilder();
  let bytes = 0;
  const name = (i: number) =>
    `n${String(i % 1000).padStart(8, '0')}/n${String(i % 1000).padStart(8, '0')}_${i}.JPEG`;
  for (let i = 0; i < count; i++) {
    const path = name((i * 700_001) % count); // every one once, in no order
    bytes += path.length;
    builder.add(path);
  }
  const before = process.memoryUsage().heapUsed;
  const list = builder.finish();
  expect(list.bytes.byteLength).toBe(bytes);
  expect(list.offsets.byteLength).toBe((count + 1) * 8);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(40 * 2 ** 20);
  const at = (i: number) =>
    Buffer.from(list.bytes.buffer).toString('utf8', list.offsets[i], list.offsets[i + 1]);
  expect(at(0)).toBe('n00000000/n00000000_0.JPEG');
  let last = at(0);
  for (let i = 997; i < count; i += 997) {
    expect(last < at(i)).toBe(true);
    last = at(i);
  }
});

test('a folder of very many images among others is in order, whatever the order of its entries', async () => {
  const root = temporaryFolder();
  const names = Array.from({ length: 300 }, (_, i) => `${(i * 7) % 300}.jpg`);
  const folders = ['a', 'a/x', 'a.b', 'a-', 'é', 'z', '\u{1f600}', '\uff5e'];
  write(
    root,
    'b.jpg',
    '\u{1f600}.jpg',
    '\uff5e.jpg',
    ...folders.flatMap((folder) => names.map((name) => `${folder}/${name}`)),
  );
  const found = list(await indexImageFolder(root));
  const sorted = found.map((path) => Buffer.from(path)).sort(Buffer.compare);
  expect(found).toEqual(sorted.map(String));
  expect(found.length).toBe(3 + folders.length * names.length);
});
