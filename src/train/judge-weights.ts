import type { ImageNote } from '../data/loader.js';
import type { Trainer } from './engine/trainer.js';
import type { Tell } from './observer.js';
import { Picturing } from './picturing.js';
import type { Position } from './position.js';
import { Probing } from './probing.js';
import type { Run } from './run.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import { Validation } from './validate.js';

/** What looks at the weights of a run now and then. Nothing of it changes them. */
export interface Judges {
  readonly picturing: Picturing;
  readonly validation: Validation;
  readonly probing: Probing;
  release(): void;
}

/**
 * @param shouldStop whether to leave it to the process that goes on with the run
 * @param onNotes is told how images of validation were read
 */
export function judgesOf(
  run: Run,
  trainer: Trainer,
  shouldStop: () => boolean,
  onNotes: (notes: readonly ImageNote[]) => Promise<void>,
): Judges {
  const validation = new Validation(run, trainer, shouldStop, onNotes);
  return {
    picturing: new Picturing(run, trainer, shouldStop),
    validation,
    probing: new Probing(run, trainer, shouldStop),
    release: () => {
      validation.release();
      run.pictures?.release();
    },
  };
}

/** Draws pictures, validates and probes where that is due; keeps the checkpoint whose weights are the best so far. */
export async function judgeWeights(
  position: Position,
  { picturing, validation, probing }: Judges,
  checkpoints: RunCheckpoints,
  tell: Tell,
): Promise<void> {
  if (picturing.isDue(position)) await picturing.run(position, tell);
  if (validation.isDue(position))
    await checkpoints.keepBest(position, 'val', await validation.run(position, tell));
  if (probing.isDue(position))
    await checkpoints.keepBest(position, 'probe', await probing.run(position, tell));
}
