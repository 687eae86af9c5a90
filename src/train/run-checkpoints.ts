import { UserError } from '../util/errors.js';
import { pointLatestAt, removeOldCheckpoints } from '../weights/checkpoint/run-directory.js';
import type { BadSteps } from './bad-steps.js';
import { saveCheckpoint } from './checkpointing.js';
import type { ModelState } from './engine/model-state.js';
import type { KeptBest } from './kept-best.js';
import type { Metrics, Tell } from './observer.js';
import type { TrainOptions } from './options.js';
import type { Plan } from './plan.js';
import type { Position } from './position.js';

/** What checkpoints need of a run. */
export interface SavedRun {
  readonly options: Pick<TrainOptions, 'outputDir' | 'keep' | 'saveEvery' | 'saveEverySteps'>;
  readonly plan: Pick<Plan, 'totalSteps'>;
  readonly state: ModelState;
  readonly position: Position;
  readonly resumeFrom?: string | undefined;
  readonly best?: KeptBest | undefined;
}

export interface SavedDevice {
  /** Brings weights and moments into the state. */
  download(): void;
  /** Whether they are all of one step. */
  readonly isWhole: boolean;
}

/**
 * The checkpoints that a run saves. Whether weights are any good is known only when a step has computed a loss from
 * them: until then the last checkpoint that did so stays, whatever `keep` says.
 */
export class RunCheckpoints {
  readonly #run: SavedRun;
  readonly #device: SavedDevice;
  readonly #badSteps: BadSteps;
  readonly #tell: Tell;
  /** The newest, or the one that the run goes on from; and its step. */
  #latest: string | undefined;
  #savedAt: number | undefined;
  #good: string | undefined;
  #canSave = true;

  constructor(run: SavedRun, device: SavedDevice, badSteps: BadSteps, tell: Tell) {
    this.#run = run;
    this.#device = device;
    this.#badSteps = badSteps;
    this.#tell = tell;
    this.#latest = run.resumeFrom;
    this.#savedAt = run.resumeFrom === undefined ? undefined : run.position.step;
  }

  /** Whether `--save-every` or `--save-every-steps` asks for one here. */
  isDue({ step, epoch }: Position, isEpochEnd: boolean): boolean {
    const { saveEvery, saveEverySteps } = this.#run.options;
    if (step === this.#savedAt || step === 0) return false;
    return (
      (saveEverySteps !== undefined && step % saveEverySteps === 0) || (isEpochEnd && epoch % saveEvery === 0)
    );
  }

  /** Saves unless this step is saved already, or its weights may be to blame for bad steps, or are not finite. */
  async save(position: Position): Promise<void> {
    const { step } = position;
    if (step === this.#savedAt || this.#badSteps.inRow > 0) return;
    const { options, state } = this.#run;
    this.#device.download();
    if (!state.isFinite) {
      await this.#tell('checkpointRefused', { step });
      return;
    }
    this.#canSave = false; // what could not be saved now cannot be a moment later either
    this.#latest = await saveCheckpoint(options.outputDir, state, position, options.keep, this.#spared());
    this.#canSave = true;
    this.#savedAt = step;
    await this.#tell('checkpointSaved', { step, path: this.#latest });
  }

  /** Keeps the checkpoint of a validation that found its weights the best so far. */
  async keepBest(position: Position, { metrics }: { readonly metrics?: Metrics } = {}): Promise<void> {
    const { best } = this.#run;
    const value = best && metrics?.[best.metric];
    if (best === undefined || value === undefined || !best.isBetter(value)) return;
    await this.save(position);
    if (this.#savedAt !== position.step || this.#latest === undefined) return;
    await best.keep(this.#latest, value);
    await this.#removeOld(this.#spared());
  }

  /** A step computed a finite loss from the newest, or from what followed it. */
  async confirm(): Promise<void> {
    if (this.#latest === undefined || this.#latest === this.#good) return;
    const wasSpared = this.#run.options.keep === 1 && this.#good !== undefined;
    this.#good = this.#latest;
    if (wasSpared) await this.#removeOld();
  }

  /**
   * The run ends here, at the end of its plan or before. Returns the folder of its last step, if that was saved; a
   * UserError where the plan ends in bad steps.
   */
  async end({ step }: Position): Promise<string | undefined> {
    const isSaved = this.#savedAt === step;
    if (step === this.#run.plan.totalSteps) {
      if (this.#badSteps.inRow > 0) throw this.#badSteps.error(await this.fallBack());
      if (!isSaved) {
        throw new UserError(
          'training: expected finite weights at the end; start again with a lower --lr or --clip-grad 1',
        );
      }
      const hasSpared =
        this.#run.options.keep === 1 && this.#good !== undefined && this.#latest !== this.#good;
      if (hasSpared) await this.#removeOld();
    }
    return isSaved ? this.#latest : undefined;
  }

  /** An error ends the run here: saves what it would lose, if the weights are good and the disk takes them. */
  async rescue(position: Position): Promise<void> {
    const { step } = position;
    if (step === this.#run.position.step) return;
    // the first error is the one to be told
    if (this.#canSave && this.#device.isWhole) await this.save(position).catch(() => {});
    const checkpoint = this.#savedAt === step ? this.#latest : undefined;
    await this.#tell('failed', { step, checkpoint }).catch(() => {});
  }

  /** Leaves a newest one that no step has computed a finite loss from; returns the last good one. */
  async fallBack(): Promise<string | undefined> {
    const { outputDir } = this.#run.options;
    if (this.#good !== undefined && this.#good !== this.#latest) await pointLatestAt(outputDir, this.#good);
    return this.#good;
  }

  #removeOld(spared = this.#best()): Promise<void> {
    const { outputDir, keep } = this.#run.options;
    return removeOldCheckpoints(outputDir, this.#savedAt!, keep, spared);
  }

  #best(): string[] {
    const best = this.#run.best?.checkpoint;
    return best === undefined ? [] : [best.path];
  }

  /** Those that stay, however old. */
  #spared(): string[] {
    return this.#good === undefined ? this.#best() : [this.#good, ...this.#best()];
  }
}
