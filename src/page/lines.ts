/** The lines of a chart: points of curves on the scales that a person chose. */
import type { Curve, RunData } from './report-data.js';
import type { Settings, XScale } from './settings.js';
import { smoothed } from './smooth.js';

export interface Line {
  readonly run: RunData;
  /** The place of the run among all, which decides its colour. */
  readonly index: number;
  readonly curve: Curve;
  readonly x: readonly number[];
  /** Null where there is nothing to draw smooth. */
  readonly smooth: readonly number[] | null;
}

/** The lines of some tags, of runs that are shown. */
export function linesOf(runs: readonly RunData[], tags: readonly string[], settings: Settings): Line[] {
  return runs.flatMap((run, index) =>
    settings.hidden.has(run.path)
      ? []
      : tags.flatMap((tag) => {
          const curve = run.curves.find((each) => each.tag === tag);
          const x = curve && xOf(run, curve, settings.x);
          if (curve === undefined || x == null) return [];
          return [{ run, index, curve, x, smooth: smoothOf(curve, settings.smoothing) }];
        }),
  );
}

/** Null where the run does not tell. */
export function xOf(run: RunData, curve: Curve, scale: XScale): readonly number[] | null {
  if (scale === 'step') return curve.step;
  if (scale === 'hours') return curve.hours;
  const { stepsPerEpoch, imagesPerStep } = run;
  if (scale === 'epoch')
    return stepsPerEpoch === null ? null : curve.step.map((step) => step / stepsPerEpoch);
  return imagesPerStep === null ? null : curve.step.map((step) => step * imagesPerStep);
}

/** Curves with noise; what is planned, or has few points, stays as it is. */
const noisy = ['train/loss', 'train/grad_norm', 'train/images_per_second', 'train/data_wait'];

function smoothOf({ tag, value, mean }: Curve, weight: number): number[] | null {
  return weight === 0 || !noisy.includes(tag) ? null : smoothed(mean ?? value, weight);
}

/** The place of the point that is nearest to `at`. xs ascend. */
export function nearest(xs: readonly number[], at: number): number {
  let [low, high] = [0, xs.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle]! < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - xs[low - 1]! <= xs[low]! - at ? low - 1 : low;
}
