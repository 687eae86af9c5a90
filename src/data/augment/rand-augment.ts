import type { RandomStream } from '../../util/random.js';
import { type OperatorName, operator } from './operators.js';
import type { Picture } from './picture.js';
import type { Policy } from './policy.js';

/** An operator with the argument that it was given. */
export interface Operation {
  readonly name: OperatorName;
  readonly argument: number;
}

/** What becomes of one picture; none, one or several, in this order. */
export function drawOperations(random: RandomStream, policy: Policy): Operation[] {
  return drawNames(random, policy).flatMap((name) => {
    if (random.float() >= policy.probability) return [];
    return [{ name, argument: operator(name).argument(drawMagnitude(random, policy), random) }];
  });
}

export function applyOperation(picture: Picture, { name, argument }: Operation): void {
  operator(name).apply(picture, argument);
}

function drawNames(random: RandomStream, { operators, layers, weights }: Policy): OperatorName[] {
  if (!weights) return Array.from({ length: layers }, () => operators[random.int(operators.length)]!);
  const left = [...weights];
  return Array.from({ length: layers }, () => {
    const index = drawWeighted(random, left);
    left[index] = 0;
    return operators[index]!;
  });
}

/** An index with a chance in proportion to its weight. */
function drawWeighted(random: RandomStream, weights: readonly number[]): number {
  let rest = random.float() * weights.reduce((sum, weight) => sum + weight, 0);
  const index = weights.findIndex((weight) => {
    rest -= weight;
    return rest < 0;
  });
  // rounding may leave a rest: the last that can be drawn
  return index >= 0 ? index : weights.findLastIndex((weight) => weight > 0);
}

function drawMagnitude(random: RandomStream, policy: Policy): number {
  const { magnitude, magnitudeDeviation: deviation, maxMagnitude } = policy;
  let drawn = magnitude;
  if (deviation === Number.POSITIVE_INFINITY) drawn = random.uniform(0, magnitude);
  else if (deviation > 0) drawn += deviation * random.normal();
  return Math.max(0, Math.min(drawn, maxMagnitude));
}
