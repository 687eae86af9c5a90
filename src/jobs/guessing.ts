import type { Guesses, RunObserver, Tell } from '../train/observer.js';

/** Tells the losses of guesses when a run starts: of a new one as they are computed, of one that goes on as it logged them. */
export function guessing(
  logged: Guesses | undefined,
  compute: () => Promise<Guesses | undefined>,
  tell: Tell,
): RunObserver {
  return {
    async started({ step, totalSteps }) {
      if (step >= totalSteps) return;
      const guesses = logged ?? (step === 0 ? await compute() : undefined);
      if (guesses !== undefined) await tell('guessed', { ...guesses, isNew: logged === undefined });
    },
  };
}
