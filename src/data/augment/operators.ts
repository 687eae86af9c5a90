/** The operators of timm's RandAugment by its names, and what a magnitude from 0 to 10 means to each. */
import type { RandomStream } from '../../util/random.js';
import { brightness, color, contrast, sharpness } from './colour.js';
import { type Colour, rotate, shearX, shearY, translateX, translateY } from './geometry.js';
import { autoContrast, equalize, invert, posterize, solarize, solarizeAdd } from './levels.js';
import type { Picture } from './picture.js';

interface Operator {
  /** Its argument; 0 where it has none. */
  readonly argument: (magnitude: number, random: RandomStream) => number;
  readonly apply: (picture: Picture, argument: number) => void;
}

/** ImageNet's mean colour: what comes in from outside a picture that is moved. */
const fill: Colour = [124, 116, 104];

/** The magnitude at which operators are at their strongest. */
export const fullMagnitude = 10;

const none = () => 0;
const eitherSign = (value: number, random: RandomStream) => (random.float() > 0.5 ? -value : value);
/** Either way by a share of `most`. */
const upTo = (most: number) => (magnitude: number, random: RandomStream) =>
  eitherSign((magnitude / fullMagnitude) * most, random);
const steps = (magnitude: number, count: number) => Math.trunc((magnitude / fullMagnitude) * count);
const threshold = (magnitude: number) => Math.min(256, steps(magnitude, 256));
const enhancement = (magnitude: number) => (magnitude / fullMagnitude) * 1.8 + 0.1;
/** Away from 1, where nothing changes. */
const increasing = (magnitude: number, random: RandomStream) =>
  Math.max(0.1, 1 + eitherSign((magnitude / fullMagnitude) * 0.9, random));

const operators = {
  AutoContrast: { argument: none, apply: autoContrast },
  Equalize: { argument: none, apply: equalize },
  Invert: { argument: none, apply: invert },
  Rotate: { argument: upTo(30), apply: (picture, degrees) => rotate(picture, degrees, fill) },
  Posterize: { argument: (magnitude) => steps(magnitude, 4), apply: posterize },
  PosterizeIncreasing: { argument: (magnitude) => 4 - steps(magnitude, 4), apply: posterize },
  PosterizeOriginal: { argument: (magnitude) => 4 + steps(magnitude, 4), apply: posterize },
  Solarize: { argument: threshold, apply: solarize },
  SolarizeIncreasing: { argument: (magnitude) => 256 - threshold(magnitude), apply: solarize },
  SolarizeAdd: { argument: (magnitude) => Math.min(128, steps(magnitude, 110)), apply: solarizeAdd },
  Color: { argument: enhancement, apply: color },
  ColorIncreasing: { argument: increasing, apply: color },
  Contrast: { argument: enhancement, apply: contrast },
  ContrastIncreasing: { argument: increasing, apply: contrast },
  Brightness: { argument: enhancement, apply: brightness },
  BrightnessIncreasing: { argument: increasing, apply: brightness },
  Sharpness: { argument: enhancement, apply: sharpness },
  SharpnessIncreasing: { argument: increasing, apply: sharpness },
  ShearX: { argument: upTo(0.3), apply: (picture, factor) => shearX(picture, factor, fill) },
  ShearY: { argument: upTo(0.3), apply: (picture, factor) => shearY(picture, factor, fill) },
  TranslateXRel: { argument: upTo(0.45), apply: (picture, share) => translateX(picture, share, fill) },
  TranslateYRel: { argument: upTo(0.45), apply: (picture, share) => translateY(picture, share, fill) },
} satisfies Record<string, Operator>;

export type OperatorName = keyof typeof operators;

export function operator(name: OperatorName): Operator {
  return operators[name];
}
