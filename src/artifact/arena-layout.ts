import { isTrained, lrScaleOf, type ParameterGroup, type ParameterSpec } from '../model/parameters.js';
import { sizeOf } from '../util/shape.js';
import type { ArenaLayout, ManifestParameter } from './manifest.js';

/** Tensors start at multiples of 64 bytes: a cache line, an AVX-512 register. */
const alignment = 16;
/** Elements that one run of the optimizer updates: 1 MiB a tensor, so its temporaries stay in the cache. */
export const optimizerChunk = 2 ** 18;

/**
 * Places every parameter in one flat arena, [decayed | not decayed | fixed]; groups fill whole chunks. Trained parameters
 * of one learning rate lie together, so that the optimizer takes them in one run.
 */
export function layOutArena(specs: readonly ParameterSpec[]): {
  arena: ArenaLayout;
  parameters: ManifestParameter[];
} {
  const offsets = new Map<string, number>();
  let end = 0;
  const place = (group: ParameterGroup, multiple: number): number => {
    for (const spec of inOrder(specs.filter((each) => each.group === group))) {
      offsets.set(spec.name, end);
      end = roundUp(end + sizeOf(spec.shape), alignment);
    }
    end = roundUp(end, multiple);
    return end;
  };
  const decayed = place('decayed', optimizerChunk);
  const trained = place('notDecayed', optimizerChunk);
  const total = place('fixed', alignment);
  const parameters = specs.map((spec) => ({ ...spec, offset: offsets.get(spec.name)! }));
  return { arena: { chunk: optimizerChunk, decayed, trained, total }, parameters };
}

/** By their learning rates, else as they come; fixed ones have none. */
function inOrder(specs: readonly ParameterSpec[]): readonly ParameterSpec[] {
  return specs.toSorted((a, b) => (isTrained(a) ? lrScaleOf(a) - lrScaleOf(b) : 0));
}

function roundUp(size: number, multiple: number): number {
  return Math.ceil(size / multiple) * multiple;
}
