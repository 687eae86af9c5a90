/** Writes the gradient at x and gives the value, which is not negative. */
export type Objective = (x: Float64Array, gradient: Float64Array) => Promise<number>;

export interface LbfgsOptions {
  /**
   * The search ends where half the square of the gradient, what a unit Hessian leaves to gain, is this share of the value,
   * or of its square where that is less: near 0 a loss of logistic regression is about as flat as it is small.
   */
  readonly tolerance: number;
  readonly maxIterations: number;
  /** What a value may be wrong by, as a share of 1 + value: a rise below it is none. */
  readonly noise: number;
}

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
}

interface Point {
  readonly x: Float64Array;
  readonly gradient: Float64Array;
  readonly value: number;
}

/** x′ − x and the change of the gradient, with 1 / (their product). */
interface Pair {
  readonly step: Float64Array;
  readonly change: Float64Array;
  readonly rho: number;
}

const memory = 10;

/**
 * L-BFGS (Nocedal & Wright, "Numerical Optimization", 2006, algorithm 7.5). Ends where the gradient is small, after so many
 * iterations, or where no step along the direction gets better: at the precision of the objective.
 */
export async function lbfgs(
  objective: Objective,
  start: Float64Array,
  options: LbfgsOptions,
): Promise<Minimum> {
  const { tolerance, maxIterations, noise } = options;
  const evaluate = async (x: Float64Array): Promise<Point> => {
    const gradient = new Float64Array(x.length);
    return { x, gradient, value: await objective(x, gradient) };
  };
  let point = await evaluate(start.slice());
  const pairs: Pair[] = [];
  let iterations = 0;
  const isFound = ({ gradient, value }: Point): boolean =>
    !(dot(gradient, gradient) / 2 > tolerance * value * Math.min(1, value));
  while (iterations < maxIterations && !isFound(point)) {
    const direction = twoLoops(pairs, point.gradient);
    const first = pairs.length === 0 ? Math.min(1, 1 / Math.sqrt(dot(direction, direction))) : 1;
    const next = await lineSearch(evaluate, point, direction, first, noise);
    if (next === undefined) break;
    iterations++;
    const step = difference(next.x, point.x);
    const change = difference(next.gradient, point.gradient);
    const product = dot(step, change);
    if (product > 1e-12 * dot(change, change)) pairs.push({ step, change, rho: 1 / product });
    if (pairs.length > memory) pairs.shift();
    point = next;
  }
  return { x: point.x, value: point.value, iterations };
}

/** −H·g, H the inverse Hessian as the pairs tell it (algorithm 7.4). */
function twoLoops(pairs: readonly Pair[], gradient: Float64Array): Float64Array {
  const direction = gradient.map((value) => -value);
  const alphas = new Float64Array(pairs.length);
  for (let i = pairs.length - 1; i >= 0; i--) {
    const { step, change, rho } = pairs[i]!;
    alphas[i] = rho * dot(step, direction);
    addScaled(direction, change, -alphas[i]!);
  }
  const last = pairs.at(-1);
  if (last !== undefined) {
    const gamma = 1 / (last.rho * dot(last.change, last.change));
    for (let i = 0; i < direction.length; i++) direction[i]! *= gamma;
  }
  for (const [i, { step, change, rho }] of pairs.entries()) {
    addScaled(direction, step, alphas[i]! - rho * dot(change, direction));
  }
  return direction;
}

/** Constants of the Wolfe conditions for quasi-Newton methods. */
const sufficientDecrease = 1e-4;
const curvature = 0.9;
const mostTries = 20;

/** A place on the line: value and slope there. */
interface Place {
  readonly at: number;
  readonly value: number;
  readonly slope: number;
}

/**
 * A point along the direction that fulfils the strong Wolfe conditions, between a place that is too near (low enough, and
 * it still falls) and one that is too far; undefined where there is none that float32 can tell.
 */
async function lineSearch(
  evaluate: (x: Float64Array) => Promise<Point>,
  from: Point,
  direction: Float64Array,
  first: number,
  noise: number,
): Promise<Point | undefined> {
  const slope = dot(from.gradient, direction);
  if (!(slope < 0)) return undefined;
  const slack = noise * (1 + from.value);
  let near: Place = { at: 0, value: from.value, slope };
  let far: Place | undefined;
  let at = first;
  for (let tries = 0; tries < mostTries; tries++) {
    const x = from.x.slice();
    addScaled(x, direction, at);
    const point = await evaluate(x);
    const place = { at, value: point.value, slope: dot(point.gradient, direction) };
    const isLow = place.value <= from.value + sufficientDecrease * at * slope + slack;
    if (isLow && Math.abs(place.slope) <= -curvature * slope) return point;
    if (isLow && place.slope < 0) near = place;
    else far = place;
    at = far === undefined ? 4 * at : between(near, far);
  }
  return undefined;
}

/** Where the cubic through values and slopes of both is least, not too close to either; the middle where it has no minimum. */
function between(near: Place, far: Place): number {
  const width = far.at - near.at;
  // Nocedal & Wright, equation 3.59
  const d1 = near.slope + far.slope - (3 * (near.value - far.value)) / (near.at - far.at);
  const d2 = Math.sqrt(d1 * d1 - near.slope * far.slope);
  const least = far.at - (width * (far.slope + d2 - d1)) / (far.slope - near.slope + 2 * d2);
  if (!Number.isFinite(least)) return near.at + width / 2;
  return Math.min(far.at - 0.1 * width, Math.max(near.at + 0.1 * width, least));
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** a ← a + factor·b */
function addScaled(a: Float64Array, b: Float64Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
}

function difference(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((value, i) => value - b[i]!);
}
