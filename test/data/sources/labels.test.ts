import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { TrainLoader } from '../../../src/data/loader.js';
import { writeSampleImages } from '../../../src/data/pictures/sample-images.js';
import { indexImageFolder } from '../../../src/data/sources/image-folder.js';
import { alignClasses, checkClasses, readLabels, withLabels } from '../../../src/data/sources/labels.js';
import type { ImageSource } from '../../../src/data/sources/source.js';
import type { BatchInput } from '../../../src/model/task.js';
import { UserError } from '../../../src/util/errors.js';
import { fileFolder } from '../../support/cli-files.js';

const folder = fileFolder();
const [root, otherRoot] = [join(folder, 'images'), join(folder, 'others')];
let source: ImageSource;
let other: ImageSource;
/** Of the images of `source`, below its root. */
let paths: string[];

beforeAll(async () => {
  await writeSampleImages(root, { count: 8, seed: 0, width: 24, height: 24 });
  await writeSampleImages(otherRoot, { count: 4, seed: 0, width: 24, height: 24 });
  source = await indexImageFolder(root);
  other = await indexImageFolder(otherRoot);
  paths = Array.from({ length: source.length }, (_, i) => source.name(i).slice(root.length + 1));
});

let files = 0;
function labelsFile(content: string | Uint8Array): string {
  const path = join(folder, `labels-${++files}.csv`);
  writeFileSync(path, content);
  return path;
}

const csvOf = (rows: readonly (readonly [string, string])[]) =>
  labelsFile(`path,label\n${rows.map((row) => `${row.join(',')}\n`).join('')}`);

const labelsOf = (images: ImageSource) => Array.from({ length: images.length }, (_, i) => images.labelOf(i));
const namesOf = (images: ImageSource) => labelsOf(images).map((place) => images.classNames[place]);

describe('readLabels', () => {
  test('takes quotes, CRLF, a byte order mark, other columns and names of any letters', () => {
    const notes: string[] = [];
    const file = labelsFile(
      '\ufeffid,label,path\r\n1,"cat, grey",a/1.jpg\r\n\r\n2,"say ""ü""",é 2.png\r\n3, dog ,c.jpg\r\n',
    );
    expect(readLabels(file, (note) => notes.push(note)).rows).toEqual([
      { path: 'a/1.jpg', label: 'cat, grey', line: 2 },
      { path: 'é 2.png', label: 'say "ü"', line: 4 },
      { path: 'c.jpg', label: 'dog', line: 5 },
    ]);
    expect(notes).toEqual([`${file}: the columns id are not read`]);
  });

  test.each<[string, string | Uint8Array, RegExp]>([
    ['an empty file', '', /columns path,label, got an empty file/],
    ['no header', 'a.jpg,cat\nb.jpg,dog\n', /got the first line "a\.jpg,cat"/],
    ['another separator', 'path;label\na.jpg;cat\n', /got the first line "path;label"/],
    ['a header alone', 'path,label\n', /got the first line alone/],
    ['an empty label', 'path,label\na.jpg,cat\nb.jpg,\n', /got no label in line 3/],
    ['an empty path', 'path,label\n ,cat\n', /got no path in line 2/],
    ['a missing field', 'path,label\na.jpg\n', /got .*line 2/],
    ['a quote that does not end', 'path,label\n"a.jpg,cat\n', /got .*quote/i],
    ['a label of two lines', 'path,label\na.jpg,"cat\ndog"\n', /label of several lines in line 3/],
    ['Latin-1', Buffer.from('path,label\na.jpg,\xe9\n', 'latin1'), /got bytes that are not UTF-8/],
  ])('%s is a line', (_, content, message) => {
    const file = labelsFile(content);
    expect(() => readLabels(file)).toThrow(UserError);
    expect(() => readLabels(file)).toThrow(message);
    expect(() => readLabels(file)).toThrow(file);
    expect(() => readLabels(file)).not.toThrow(/\n/);
  });

  test('nothing there and a folder are lines', () => {
    expect(() => readLabels(join(folder, 'nowhere.csv'))).toThrow(/^labels: .*nowhere\.csv, got ENOENT/);
    expect(() => readLabels(folder)).toThrow(/^labels: .* to be a file, got a folder/);
  });
});

describe('withLabels', () => {
  test('gives the classes of the file, and none to images that it does not name', () => {
    const notes: string[] = [];
    const file = csvOf([
      [paths[5]!, 'b'],
      [`./${paths[0]}`, 'ä'],
      [source.name(2), 'B'],
    ]);
    const labelled = withLabels(source, readLabels(file), (note) => notes.push(note));
    expect(labelled.classNames).toEqual(['B', 'b', 'ä']); // by their bytes, as folders are
    expect(labelsOf(labelled)).toEqual([2, -1, 0, -1, -1, 1, -1, -1]);
    expect(labelled.name(5)).toBe(source.name(5));
    expect(labelled.fingerprint).toBe(source.fingerprint);
    expect(notes).toEqual([
      expect.stringMatching(/names 3 of the 8 images of .*: the others have no class$/),
    ]);
  });

  test('one file may name the images of two folders', () => {
    const rows: [string, string][] = [
      ...paths.map((_, i) => [source.name(i), `c${i % 2}`] as [string, string]),
    ];
    rows.push([other.name(1), 'c1']);
    const labels = readLabels(csvOf(rows));
    expect(namesOf(withLabels(source, labels, undefined, [other]))).toEqual(paths.map((_, i) => `c${i % 2}`));
    expect(namesOf(withLabels(other, labels, undefined, [source]))).toEqual([
      undefined,
      'c1',
      undefined,
      undefined,
    ]);
  });

  test.each<[string, () => [string, string][], RegExp]>([
    [
      'an unknown path',
      () => [
        [paths[0]!, 'a'],
        ['no/such.jpg', 'b'],
        ['nor.jpg', 'b'],
      ],
      /got no\/such\.jpg in line 3 .* and 1 others; /,
    ],
    [
      'the same line twice',
      () => [
        [paths[1]!, 'a'],
        [paths[1]!, 'a'],
      ],
      /once in .*in lines 2 and 3; remove/,
    ],
    [
      'two classes of an image',
      () => [
        [paths[1]!, 'a'],
        [`./${paths[1]}`, 'b'],
      ],
      /in lines 2 and 3 \(a, then b\); remove/,
    ],
  ])('%s is a line', (_, rows, message) => {
    const labels = readLabels(csvOf(rows()));
    expect(() => withLabels(source, labels)).toThrow(UserError);
    expect(() => withLabels(source, labels)).toThrow(message);
  });

  test('a path that two folders have is a line', () => {
    const shared = paths.find((path) =>
      Array.from({ length: 4 }, (_, i) => other.name(i)).includes(join(otherRoot, path)),
    )!;
    const labels = readLabels(csvOf([[shared, 'a']]));
    expect(() => withLabels(source, labels, undefined, [other])).toThrow(/expected one image for each line/);
    expect(namesOf(withLabels(source, labels))).toContain('a');
  });

  test('workers see the same classes', async () => {
    const labels = readLabels(csvOf(paths.map((path, i) => [path, ['x', 'y', 'z'][i % 3]!])));
    const labelled = withLabels(source, labels);
    const inputs: BatchInput[] = [
      { name: 'images', type: 'uint8', shape: [8, 8, 8, 3], content: 'pixels' },
      { name: 'classes', type: 'float32', shape: [8, 3], content: 'class' },
    ];
    const batchOf = async (numWorkers: number) => {
      const loader = new TrainLoader({
        source: labelled,
        inputs,
        seed: 3,
        numWorkers,
        startEpoch: 0,
        startBatch: 0,
      });
      try {
        const batch = await loader.next();
        const places = loader.pathsOf(batch).map((path) => paths.indexOf(path.slice(root.length + 1)) % 3);
        return { places, classes: Array.from(batch.inputs['classes'] as Float32Array) };
      } finally {
        await loader.close();
      }
    };
    const { places, classes } = await batchOf(2);
    expect(classes).toEqual(places.flatMap((place) => [0, 1, 2].map((c) => Number(c === place))));
    expect(await batchOf(0)).toEqual({ places, classes });
  });
});

describe('alignClasses', () => {
  const labelled = (images: ImageSource, names: readonly string[]) =>
    withLabels(images, readLabels(csvOf(names.map((name, i) => [images.name(i), name]))));

  test('validation has the places of training', () => {
    const train = labelled(source, ['c', 'a', 'b']);
    const val = labelled(other, ['c', 'b']);
    expect(labelsOf(val)).toEqual([1, 0, -1, -1]);
    const aligned = alignClasses(train, val);
    expect(labelsOf(aligned)).toEqual([2, 1, -1, -1]);
    expect(aligned.classNames).toEqual(['a', 'b', 'c']);
  });

  test('classes that training lacks are a line', () => {
    const [train, val] = [labelled(source, ['a', 'b']), labelled(other, ['a', 'd'])];
    expect(() => alignClasses(train, val)).toThrow(UserError);
    expect(() => alignClasses(train, val)).toThrow(/images \(a, b\) in .*others, got d as well; /);
  });
});

test('checkClasses wants two classes, each with an image', () => {
  expect(() => checkClasses('x', ['a', 'b'], [1, 0, -1])).not.toThrow();
  expect(() => checkClasses('x', [], [-1])).toThrow(/expected two or more in x, got none/);
  expect(() => checkClasses('x', ['a'], [0])).toThrow(/got a alone/);
  expect(() => checkClasses('x', ['a', 'b', 'c'], [0, 2])).toThrow(/got none of b; /);
});
