import { describe, expect, test } from 'vitest';
import { operator } from '../../../src/data/augment/operators.js';
import { applyOperation } from '../../../src/data/augment/rand-augment.js';
import { RandomStream } from '../../../src/util/random.js';
import { augmentGoldens, pictureOf, readPixels } from './support.js';

const { sources, results } = readPixels();

describe('pixels are those of Pillow through timm', () => {
  test.each(augmentGoldens.operations.map((operation, index) => ({ ...operation, index })))(
    '$name of $argument on $source',
    ({ source, name, argument, index }) => {
      const original = sources.get(source)!;
      const picture = pictureOf(original, original.data);
      applyOperation(picture, { name, argument });
      expect(Buffer.from(picture.data)).toEqual(Buffer.from(results[index]!));
    },
  );
});

test('all but a few of these change their picture', () => {
  const same = augmentGoldens.operations.filter(({ source }, index) =>
    Buffer.from(sources.get(source)!.data).equals(results[index]!),
  );
  expect(same.length).toBeLessThan(augmentGoldens.operations.length / 10);
});

test('arguments are timm’s at every magnitude', () => {
  const random = new RandomStream(1, 'rand-augment');
  for (const { name, magnitude, values } of augmentGoldens.arguments) {
    const drawn = Array.from({ length: 64 }, () => operator(name).argument(magnitude, random) + 0);
    expect(
      [...new Set(drawn)].sort((a, b) => a - b),
      `${name} at ${magnitude}`,
    ).toEqual(
      values.map((value) => value + 0), // no −0
    );
  }
});

test('pictures without an inside stay whole, and one colour stays one', () => {
  for (const [height, width] of [
    [1, 1],
    [1, 5],
    [2, 2],
  ] as const) {
    const data = new Uint8Array(height * width * 3).fill(90);
    for (const { name, argument } of augmentGoldens.operations) {
      const picture = pictureOf({ height, width }, data);
      applyOperation(picture, { name, argument });
      expect(picture.data.length).toBe(data.length);
      if (['AutoContrast', 'Equalize', 'SharpnessIncreasing'].includes(name))
        expect(picture.data, name).toEqual(data);
    }
  }
});

test('no bits left is black', () => {
  const picture = pictureOf({ height: 1, width: 2 }, Uint8Array.of(1, 2, 3, 254, 255, 0));
  applyOperation(picture, { name: 'PosterizeIncreasing', argument: 0 });
  expect([...picture.data]).toEqual([0, 0, 0, 0, 0, 0]);
});
