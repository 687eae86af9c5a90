import { beta } from '../../util/beta.js';
import type { RandomStream } from '../../util/random.js';
import type { Region, Size } from '../decode/pixels.js';

/** Mixup (Zhang et al., 2018) and CutMix (Yun et al., 2019) of a whole batch, as timm draws them. */
export interface MixOptions {
  /** α of the Beta distributions; 0 for none. */
  readonly mixup: number;
  readonly cutmix: number;
  /** That a batch is mixed at all, and that it is cut where both are possible. */
  readonly probability: number;
  readonly switchProbability: number;
}

/** How a batch is mixed with itself backwards. Without a box (mixup) all pixels are, by the share of the target. */
export interface Mix {
  /** λ, the share of the target that stays. */
  readonly lambda: number;
  readonly box?: Region;
}

/** Undefined where the batch stays as it is. */
export function drawMix(random: RandomStream, size: Size, options: MixOptions): Mix | undefined {
  const { mixup, cutmix, probability, switchProbability } = options;
  if (random.float() >= probability || (mixup <= 0 && cutmix <= 0)) return undefined;
  const cuts = mixup <= 0 || (cutmix > 0 && random.float() < switchProbability);
  const alpha = cuts ? cutmix : mixup;
  const lambda = beta(random, alpha, alpha);
  if (!cuts) return { lambda };
  const centre = { y: random.int(size.height), x: random.int(size.width) };
  return cutBox(size, lambda, centre);
}

/** A box of the share 1 − λ around a pixel, cut off at the edges; λ becomes the share that is really left. */
export function cutBox({ height, width }: Size, lambda: number, centre: { y: number; x: number }): Mix {
  const ratio = Math.sqrt(1 - lambda);
  const [top, bottom] = around(centre.y, Math.trunc(height * ratio), height);
  const [left, right] = around(centre.x, Math.trunc(width * ratio), width);
  const box = { left, top, width: right - left, height: bottom - top };
  return { lambda: 1 - (box.width * box.height) / (width * height), box };
}

function around(centre: number, length: number, end: number): [from: number, to: number] {
  const from = Math.max(0, centre - Math.floor(length / 2));
  return [from, Math.min(end, centre + Math.floor((length + 1) / 2))];
}

/** Writes a mix as `mix` of model/task.ts has it: [2 + H + W]. */
export function writeMix(out: Float32Array, { height }: Size, mix: Mix | undefined): void {
  out.fill(0);
  if (!mix) return;
  const { lambda, box } = mix;
  out[0] = 1 - lambda;
  out[1] = box ? 1 : 1 - lambda;
  const [rows, columns] = [out.subarray(2, 2 + height), out.subarray(2 + height)];
  if (box) {
    rows.fill(1, box.top, box.top + box.height);
    columns.fill(1, box.left, box.left + box.width);
  } else {
    rows.fill(1);
    columns.fill(1);
  }
}
