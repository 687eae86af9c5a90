import { pointLatestAt, removeOldCheckpoints } from '../weights/checkpoint/run-directory.js';
import { type RunState, saveCheckpoint } from './checkpointing.js';
import type { ModelState } from './engine/model-state.js';

/**
 * The checkpoints that a run saves. Whether weights are any good is known only when a step has computed a loss from
 * them: until then the last checkpoint that did so stays, whatever `keep` says.
 */
export class RunCheckpoints {
  /** The newest, or the one that the run goes on from. */
  latest: string | undefined;
  /** The step of it. */
  savedAt: number | undefined;
  readonly #run: string;
  readonly #keep: number;
  #good: string | undefined;

  constructor(run: string, keep: number, resumeFrom: string | undefined, step: number) {
    this.#run = run;
    this.#keep = keep;
    this.latest = resumeFrom;
    this.savedAt = resumeFrom === undefined ? undefined : step;
  }

  /** Its folder; undefined, and nothing is written, where the weights are not finite. */
  async save(state: ModelState, position: RunState): Promise<string | undefined> {
    if (!state.isFinite) return undefined;
    this.latest = await saveCheckpoint(this.#run, state, position, this.#keep, this.#good);
    this.savedAt = position.step;
    return this.latest;
  }

  /** A step computed a finite loss from the newest, or from what followed it. */
  async confirm(): Promise<void> {
    if (this.latest === undefined || this.latest === this.#good) return;
    const wasSpared = this.#keep === 1 && this.#good !== undefined;
    this.#good = this.latest;
    if (wasSpared) await this.#removeOld();
  }

  /** The run came to its end. */
  async finish(): Promise<void> {
    const hasSpared = this.#keep === 1 && this.#good !== undefined && this.latest !== this.#good;
    if (hasSpared) await this.#removeOld();
  }

  /** Leaves a newest one that no step has computed a finite loss from; returns the last good one. */
  async fallBack(): Promise<string | undefined> {
    if (this.#good !== undefined && this.#good !== this.latest) await pointLatestAt(this.#run, this.#good);
    return this.#good;
  }

  #removeOld(): Promise<void> {
    return removeOldCheckpoints(this.#run, this.savedAt!, this.#keep);
  }
}
