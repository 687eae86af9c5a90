import type { Tell } from './observer.js';
import type { Position } from './position.js';
import type { Probing } from './probing.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import type { Validation } from './validate.js';

/** Validates and probes where that is due; keeps the checkpoint whose weights are the best so far. */
export async function judgeWeights(
  position: Position,
  {
    validation,
    probing,
    checkpoints,
  }: { readonly validation: Validation; readonly probing: Probing; readonly checkpoints: RunCheckpoints },
  tell: Tell,
): Promise<void> {
  if (validation.isDue(position))
    await checkpoints.keepBest(position, 'val', await validation.run(position, tell));
  if (probing.isDue(position))
    await checkpoints.keepBest(position, 'probe', await probing.run(position, tell));
}
