import { expect, test } from 'vitest';
import { parsePolicy } from '../../../src/data/augment/policy.js';
import { UserError } from '../../../src/util/errors.js';

test('reads the policies of published recipes', () => {
  const { operators, ...policy } = parsePolicy('rand-m9-mstd0.5-inc1');
  expect(policy).toEqual({
    magnitude: 9,
    magnitudeDeviation: 0.5,
    maxMagnitude: 10,
    layers: 2,
    probability: 0.5,
  });
  expect(operators.join(' ')).toBe(
    'AutoContrast Equalize Invert Rotate PosterizeIncreasing SolarizeIncreasing SolarizeAdd ColorIncreasing ContrastIncreasing BrightnessIncreasing SharpnessIncreasing ShearX ShearY TranslateXRel TranslateYRel',
  );
  expect(parsePolicy('rand-m10-mstd0.5-inc1').magnitude).toBe(10);
});

test('what is not given is timm’s default', () => {
  expect(parsePolicy('rand')).toMatchObject({
    magnitude: 10,
    magnitudeDeviation: 0,
    maxMagnitude: 10,
    layers: 2,
    probability: 0.5,
  });
  expect(parsePolicy('rand').operators.slice(4, 8)).toEqual([
    'Posterize',
    'Solarize',
    'SolarizeAdd',
    'Color',
  ]);
  expect(parsePolicy('rand-inc0')).toEqual(parsePolicy('rand'));
});

test('reads every part, in any order', () => {
  expect(parsePolicy('rand-p0.25-n3-mmax20-m15-mstd101')).toMatchObject({
    magnitude: 15,
    magnitudeDeviation: Number.POSITIVE_INFINITY,
    maxMagnitude: 20,
    layers: 3,
    probability: 0.25,
  });
  expect(parsePolicy('rand-mstdinf').magnitudeDeviation).toBe(Number.POSITIVE_INFINITY);
  const { operators, weights } = parsePolicy('rand-tweights');
  expect(operators.map((name, i) => `${name} ${weights![i]}`).slice(0, 6)).toEqual([
    'Rotate 3',
    'ShearX 2',
    'ShearY 2',
    'TranslateXRel 1',
    'TranslateYRel 1',
    'ColorIncreasing 0.25',
  ]);
});

test.each([
  ['', 'begins with rand'],
  ['original-mstd0.5', 'begins with rand'],
  ['augmix-m5', 'begins with rand'],
  ['rand-', 'got an empty one'],
  ['rand-m', 'whole number, as in m9, got m '],
  ['rand-m9.5', 'got m9.5'],
  ['rand-m-9', 'got m '],
  ['rand-mstd', 'a number or inf, as in mstd0.5, got mstd '],
  ['rand-n0', 'from 1 on, as in n2, got n0'],
  ['rand-p1.5', 'from 0 to 1, as in p0.5, got p1.5'],
  ['rand-mmax0', 'as in mmax10, got mmax0'],
  ['rand-inc2', '0 or 1, as in inc1, got inc2'],
  ['rand-t3a', 'tweights, got t3a'],
  ['rand-w0', 'parts m, n, p, mstd, mmax, inc and t, got w0'],
  ['rand-m9-m8', 'm once'],
  ['rand-tweights-n16', 'at most 15 with tweights'],
])('%j is refused', (text, message) => {
  expect(() => parsePolicy(text)).toThrow(UserError);
  expect(() => parsePolicy(text)).toThrow(message);
});
