import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { writeFolderCache } from '../../../src/data/sources/folder-cache.js';
import { scanFolder } from '../../../src/data/sources/folder-scan.js';
import { type ImageFolder, indexImageFolder } from '../../../src/data/sources/image-folder.js';
import { PathListBuilder } from '../../../src/data/sources/path-list.js';
import { FileBuffer } from '../../../src/data/sources/source.js';
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
      'c/x.heic',
      'a/x.jpg.txt',
      'd/1.jpe',
      'd/2.JFIF',
      'd/3.bmp',
      'd/4.avif',
    );
    const folder = await indexImageFolder(root);
    const wanted = [
      ...['Z.tif', 'a/deep/er/z.PNG', 'b.x/1.JPEG', 'b/1.jpg', 'c/x.gif'],
      ...['d/1.jpe', 'd/2.JFIF', 'd/3.bmp', 'd/4.avif', 'top.webp', 'é.tiff'],
    ];
    expect(list(folder)).toEqual(wanted);
    expect(folder.name(3)).toBe(join(root, 'b', '1.jpg'));
    expect(folder.root).toBe(root);
    expect(folder.fingerprint).toBe(sha256(wanted));
    expect(folder.classNames).toEqual(['a', 'b', 'b.x', 'c', 'd']);
    expect(wanted.map((_, i) => folder.labelOf(i))).toEqual([-1, 0, 2, 1, 3, 4, 4, 4, 4, -1, -1]);
    expect(() => folder.name(11)).toThrow(RangeError);
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
      await expect(indexing).rejects.toThrow('jpg, jpeg, jpe, jfif, png, webp, tif, tiff, bmp, gif, avif');
    }
  });
});

describe('what is not listed', () => {
  test('hidden and system names are left out, other files are counted by their ending', async () => {
    const root = temporaryFolder();
    write(
      root,
      ...['a/1.jpg', 'a/._1.jpg', 'a/.DS_Store', '.thumbnails/1.jpg', '.git/x.png', '@eaDir/1.jpg/thumb.jpg'],
      ...['__MACOSX/a/._1.jpg', 'lost+found/x.jpg', '$Recycle.Bin/x.jpg', 'System Volume Information/x.jpg'],
      ...['#recycle/x.jpg', 'a/x.HEIC', 'a/y.heic', 'b/notes.txt', 'b/README', 'b/x.jpg.äöü'],
    );
    const notes: string[] = [];
    const options = { note: (line: string) => void notes.push(line) };
    expect(list(await indexImageFolder(root, options))).toEqual(['a/1.jpg']);
    const said =
      '5 other files are passed over: 2 .heic, 1 .txt, 1 without an ending, 1 with other endings; ' +
      'hidden and system names are left out: 1 image, 8 folders';
    expect(notes).toEqual([`${root}: ${said}`]);

    // the index says the same
    const cacheFile = join(temporaryFolder(), 'index.bin');
    laterThanNow();
    for (let i = 0; i < 2; i++) await indexImageFolder(root, { ...options, cacheFile });
    expect(notes).toEqual(Array(3).fill(notes[0]));

    write(root, 'c/x.heic', 'c/.x.jpg');
    await expect(indexImageFolder(join(root, 'c'))).rejects.toThrow(
      '(in any case); 1 other file is passed over: 1 .heic; hidden and system names are left out: 1 image; pass',
    );
  });

  test('endings without number are summed up', async () => {
    const root = temporaryFolder();
    write(
      root,
      '1.jpg',
      ...Array.from({ length: 100 }, (_, i) => `scan.${1000 + i}`),
      '2.raw',
      '3.constructor',
    );
    const notes: string[] = [];
    await indexImageFolder(root, { note: (line) => void notes.push(line) });
    expect(notes[0]).toMatch(/: 102 other files are passed over: (\d+ \.\w+, ){6}\d+ with other endings$/);
    const counts = [...notes[0]!.matchAll(/(\d+) (?=\.|with)/g)].map(([, count]) => Number(count));
    expect(counts.reduce((a, b) => a + b)).toBe(102);
  });
});

describe.skipIf(process.platform === 'win32')('names that are not UTF-8', () => {
  test('are bytes: found, opened, and in order', async () => {
    const root = temporaryFolder();
    const bytes = (path: string) => Buffer.from(join(root, path), 'latin1');
    try {
      mkdirSync(bytes('\xe9t\xe9'));
    } catch {
      return; // APFS takes UTF-8 only
    }
    writeFileSync(bytes('\xe9t\xe9/1.jpg'), 'one');
    writeFileSync(bytes('caf\xe9.jpg'), 'two');
    write(root, 'é/0.jpg', 'cafz.jpg');
    const folder = await indexImageFolder(root);
    const wanted = ['cafz.jpg', 'caf\xe9.jpg', '\xc3\xa9/0.jpg', '\xe9t\xe9/1.jpg'];
    const hash = createHash('sha256').update(
      Buffer.from(wanted.map((path) => `${path}\0`).join(''), 'latin1'),
    );
    expect(folder.fingerprint).toBe(hash.digest('hex'));
    expect(list(folder)).toEqual(['cafz.jpg', 'caf\ufffd.jpg', 'é/0.jpg', '\ufffdt\ufffd/1.jpg']);
    const into = new FileBuffer();
    expect(`${folder.read(1, into)}`).toBe('two');
    expect(`${folder.read(3, into)}`).toBe('one');
    expect(folder.classNames).toEqual(['é', '\ufffdt\ufffd']);
  });
});

/** Folders of the test have rested for long, as those of a data set have. */
function laterThanNow(): void {
  const spy = vi.spyOn(Date, 'now').mockReturnValue(Date.now() + 60_000);
  onTestFinished(() => spy.mockRestore());
}

describe('the cached index', () => {
  /** As archives and images of containers do, with one time for all. */
  function rest(root: string, ...paths: string[]): void {
    for (const path of paths) utimesSync(join(root, path), 1_600_000_000, 1_600_000_000);
  }

  test('is used while no folder changes, and not with rescan', async () => {
    const root = temporaryFolder();
    const cacheFile = join(temporaryFolder(), 'deep', 'index.bin');
    write(root, 'a/1.jpg');
    laterThanNow();
    const scan = await scanFolder(root);
    write(root, 'a/2.jpg');
    const { directories } = await scanFolder(root);
    // an index that leaves one out: nobody but the cache can have said so
    await writeFolderCache(cacheFile, root, { ...scan, directories });
    expect(list(await indexImageFolder(root, { cacheFile }))).toEqual(['a/1.jpg']);
    expect(list(await indexImageFolder(root, { cacheFile, rescan: true }))).toEqual(['a/1.jpg', 'a/2.jpg']);
    expect(list(await indexImageFolder(root, { cacheFile }))).toEqual(['a/1.jpg', 'a/2.jpg']);
  });

  test('is renewed when a folder changes, whatever its time says', async () => {
    const root = temporaryFolder();
    const cacheFile = join(temporaryFolder(), 'index.bin');
    write(root, 'a/1.jpg', 'b/2.jpg');
    rest(root, '.', 'a', 'b');
    laterThanNow();
    const found = async () => list(await indexImageFolder(root, { cacheFile }));
    expect(await found()).toEqual(['a/1.jpg', 'b/2.jpg']);
    write(root, 'b/3.jpg');
    rest(root, 'b');
    expect(await found()).toEqual(['a/1.jpg', 'b/2.jpg', 'b/3.jpg']);
    renameSync(join(root, 'b'), join(root, 'a', 'b'));
    write(root, 'b/4.jpg');
    rest(root, '.', 'a', 'b');
    expect(await found()).toEqual(['a/1.jpg', 'a/b/2.jpg', 'a/b/3.jpg', 'b/4.jpg']);
    rmSync(join(root, 'a'), { recursive: true });
    expect(await found()).toEqual(['b/4.jpg']);
  });

  test('of a folder that changed a moment ago is not trusted: its clock may not show the next change', async () => {
    const root = temporaryFolder();
    const cacheFile = join(temporaryFolder(), 'index.bin');
    write(root, '1.jpg');
    const scan = await scanFolder(root);
    write(root, '2.jpg');
    const { directories } = await scanFolder(root);
    await writeFolderCache(cacheFile, root, { ...scan, directories });
    expect(list(await indexImageFolder(root, { cacheFile }))).toEqual(['1.jpg', '2.jpg']);
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
    laterThanNow();
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
