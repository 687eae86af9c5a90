/** timm's words for a policy of RandAugment (Cubuk et al., 2020): `rand-m9-mstd0.5-inc1`. */
import { UserError } from '../../util/errors.js';
import { fullMagnitude, type OperatorName } from './operators.js';

export interface Policy {
  /** `m`: how strong operators are. */
  readonly magnitude: number;
  /** `mstd`: deviation of the magnitude, which is normal, or uniform from 0 to `magnitude` where this is infinite. */
  readonly magnitudeDeviation: number;
  /** `mmax`: no magnitude is above. */
  readonly maxMagnitude: number;
  /** `n`: operators drawn for each picture, with replacement where there are no weights. */
  readonly layers: number;
  /** `p`: that a drawn operator is used. */
  readonly probability: number;
  /** Chosen by `inc` and `t`. */
  readonly operators: readonly OperatorName[];
  /** How often each is drawn beside the others; all alike where not given. */
  readonly weights?: readonly number[];
}

const unchanging: readonly OperatorName[] = ['AutoContrast', 'Equalize', 'Invert', 'Rotate'];
const moving: readonly OperatorName[] = ['ShearX', 'ShearY', 'TranslateXRel', 'TranslateYRel'];

/** `inc0`: some of these are weaker at a higher magnitude, or do nothing at a middle one. */
const plainOperators: readonly OperatorName[] = [
  ...unchanging,
  ...(['Posterize', 'Solarize', 'SolarizeAdd', 'Color', 'Contrast', 'Brightness', 'Sharpness'] as const),
  ...moving,
];

/** `inc1` */
const increasingOperators: readonly OperatorName[] = [
  ...unchanging,
  ...(['PosterizeIncreasing', 'SolarizeIncreasing', 'SolarizeAdd'] as const),
  ...(['ColorIncreasing', 'ContrastIncreasing', 'BrightnessIncreasing', 'SharpnessIncreasing'] as const),
  ...moving,
];

/** `tweights` */
const weights: readonly (readonly [OperatorName, number])[] = [
  ['Rotate', 3],
  ['ShearX', 2],
  ['ShearY', 2],
  ['TranslateXRel', 1],
  ['TranslateYRel', 1],
  ['ColorIncreasing', 0.25],
  ['SharpnessIncreasing', 0.25],
  ['AutoContrast', 0.25],
  ['SolarizeIncreasing', 0.05],
  ['SolarizeAdd', 0.05],
  ['ContrastIncreasing', 0.05],
  ['BrightnessIncreasing', 0.05],
  ['Equalize', 0.05],
  ['PosterizeIncreasing', 0.05],
  ['Invert', 0.05],
];

/** What follows each key, and the words for it in an error. */
const keys = {
  m: { form: /^\d+$/, expected: 'a whole number, as in m9' },
  n: { form: /^[1-9]\d*$/, expected: 'a whole number from 1 on, as in n2' },
  p: { form: /^(0(\.\d+)?|1(\.0+)?)$/, expected: 'a number from 0 to 1, as in p0.5' },
  mstd: { form: /^(\d+(\.\d+)?|inf)$/, expected: 'a number or inf, as in mstd0.5' },
  mmax: { form: /^[1-9]\d*$/, expected: 'a whole number from 1 on, as in mmax10' },
  inc: { form: /^[01]$/, expected: '0 or 1, as in inc1' },
  t: { form: /^weights$/, expected: 'tweights' },
} as const;
type Key = keyof typeof keys;

/** timm samples uniformly above this deviation. */
const uniformDeviation = 100;

/** A UserError names the part that is not understood. */
export function parsePolicy(text: string): Policy {
  const [kind, ...parts] = text.split('-');
  if (kind !== 'rand')
    throw new UserError(
      `RandAugment: expected a policy that begins with rand, such as rand-m9-mstd0.5-inc1, got ${text}; others (original, augmix, 3a) are not known`,
    );
  const given = new Map<Key, string>();
  for (const part of parts) {
    const [key, value] = parsePart(part, text);
    if (given.has(key))
      throw new UserError(
        `RandAugment: expected ${key} once, got ${text}; take ${part} or the other one out`,
      );
    given.set(key, value);
  }
  const number = (key: Key, otherwise: number) => Number(given.get(key) ?? otherwise);
  const deviation = given.get('mstd') === 'inf' ? uniformDeviation + 1 : number('mstd', 0);
  const policy = {
    magnitude: number('m', fullMagnitude),
    magnitudeDeviation: deviation > uniformDeviation ? Number.POSITIVE_INFINITY : deviation,
    maxMagnitude: number('mmax', fullMagnitude),
    layers: number('n', 2),
    probability: number('p', 0.5),
  };
  if (!given.has('t'))
    return { ...policy, operators: number('inc', 0) === 1 ? increasingOperators : plainOperators };
  if (policy.layers > weights.length)
    throw new UserError(
      `RandAugment: expected n of at most ${weights.length} with tweights, which draws no operator twice, got n${policy.layers} in ${text}; lower it`,
    );
  return {
    ...policy,
    operators: weights.map(([name]) => name),
    weights: weights.map(([, weight]) => weight),
  };
}

function parsePart(part: string, text: string): [Key, string] {
  const [, letters = '', rest = ''] = /^(mstd|mmax|inc|t|m|n|p)(.*)$/.exec(part) ?? [];
  if (!(letters in keys))
    throw new UserError(
      `RandAugment: expected parts m, n, p, mstd, mmax, inc and t, got ${part || 'an empty one'} in ${text}; see docs/augmentation.md`,
    );
  const key = letters as Key;
  const { form, expected } = keys[key];
  if (!form.test(rest))
    throw new UserError(
      `RandAugment: expected ${expected}, got ${part} in ${text}; see docs/augmentation.md`,
    );
  return [key, rest];
}
