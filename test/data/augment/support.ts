import type { OperatorName } from '../../../src/data/augment/operators.js';
import type { Picture } from '../../../src/data/augment/picture.js';
import type { Region, Size } from '../../../src/data/decode/pixels.js';
import { golden } from '../support.js';

/** goldens/augment.json, which make_augment_goldens.py writes. */
interface AugmentGoldens {
  sources: Record<string, Size>;
  operations: { source: string; name: OperatorName; argument: number }[];
  arguments: { name: OperatorName; magnitude: number; values: number[] }[];
  cuts: (Size & { lambda: number; centre: { y: number; x: number }; box: Region; real: number })[];
  beta: { a: number; b: number; quantiles: [q: number, value: number][] }[];
}

export const augmentGoldens: AugmentGoldens = JSON.parse(golden('augment.json').toString());

export function pictureOf({ height, width }: Size, data: Uint8Array): Picture {
  return { height, width, data: Uint8Array.from(data), scratch: new Uint8Array(data.length) };
}

/** The sources, and what the operations made of them: the rows of augment.rgb in their order. */
export function readPixels(): { sources: Map<string, Picture>; results: Uint8Array[] } {
  const bytes = golden('augment.rgb');
  let at = 0;
  const take = ({ height, width }: Size) => {
    const start = at;
    at += height * width * 3;
    return bytes.subarray(start, at);
  };
  const sources = new Map(
    Object.entries(augmentGoldens.sources).map(([name, size]) => [name, pictureOf(size, take(size))]),
  );
  const results = augmentGoldens.operations.map(({ source }) => take(augmentGoldens.sources[source]!));
  return { sources, results };
}

/** The share of `values` at or below each, next to the share wanted: the largest distance in standard errors. */
export function quantileErrors(values: number[], quantiles: [q: number, value: number][]): number {
  const errors = quantiles.map(([q, limit]) => {
    const share = values.filter((value) => value <= limit).length / values.length;
    return Math.abs(share - q) / Math.sqrt((q * (1 - q)) / values.length);
  });
  return Math.max(...errors);
}
