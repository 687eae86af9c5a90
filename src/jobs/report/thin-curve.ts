import type { Curve } from '../../page/report-data.js';

/** Buckets that a curve has at most; each gives two points. */
const mostBuckets = 1024;

interface Point {
  readonly step: number;
  readonly value: number;
  readonly hours: number;
}

interface Bucket {
  /** The first point of the smallest value, and of the largest. */
  low: Point;
  high: Point;
  sum: number;
  count: number;
}

/**
 * The points of a curve as they come, in memory that does not grow: a bucket holds as many points as any other, its smallest
 * and its largest are kept with their places and its mean; where there are too many buckets, neighbours become one.
 */
export class ThinCurve {
  readonly #most: number;
  #buckets: Bucket[] = [];
  #pointsPerBucket = 1;
  #total = 0;
  #first: Point | undefined;
  #last: Point | undefined;

  constructor(most = mostBuckets) {
    this.#most = most;
  }

  /** A point whose step is not after the last one's is passed over: false. */
  add(step: number, value: number, hours: number): boolean {
    if (this.#last !== undefined && step <= this.#last.step) return false;
    const point = { step, value, hours };
    this.#first ??= point;
    this.#last = point;
    this.#total++;
    const bucket = this.#buckets.at(-1);
    if (bucket !== undefined && bucket.count < this.#pointsPerBucket) join(bucket, single(point));
    else this.#buckets.push(single(point));
    // twice as many, so that what is in one is always whole
    if (this.#buckets.length > 2 * this.#most) this.#halve();
    return true;
  }

  curve(tag: string): Curve {
    const points: (Point & { mean: number })[] = [];
    for (const { low, high, sum, count } of this.#buckets) {
      const mean = sum / count;
      const both = low.step <= high.step ? [low, high] : [high, low];
      for (const point of low === high ? [low] : both) points.push({ ...point, mean });
    }
    this.#keepEnds(points);
    return {
      tag,
      step: points.map(({ step }) => step),
      value: points.map(({ value }) => value),
      hours: points.map(({ hours }) => hours),
      total: this.#total,
      mean: this.#pointsPerBucket === 1 ? null : points.map(({ mean }) => mean),
    };
  }

  #halve(): void {
    const halved: Bucket[] = [];
    for (let i = 0; i < this.#buckets.length; i += 2) {
      const bucket = this.#buckets[i]!;
      const next = this.#buckets[i + 1];
      if (next !== undefined) join(bucket, next);
      halved.push(bucket);
    }
    this.#buckets = halved;
    this.#pointsPerBucket *= 2;
  }

  /** The curve begins and ends where the log's does. */
  #keepEnds(points: (Point & { mean: number })[]): void {
    const [first, last] = [this.#first, this.#last];
    if (first === undefined || last === undefined) return;
    if (points[0]!.step !== first.step) points.unshift({ ...first, mean: points[0]!.mean });
    if (points.at(-1)!.step !== last.step) points.push({ ...last, mean: points.at(-1)!.mean });
  }
}

function single(point: Point): Bucket {
  return { low: point, high: point, sum: point.value, count: 1 };
}

function join(bucket: Bucket, next: Bucket): void {
  if (next.low.value < bucket.low.value) bucket.low = next.low;
  if (next.high.value > bucket.high.value) bucket.high = next.high;
  bucket.sum += next.sum;
  bucket.count += next.count;
}
