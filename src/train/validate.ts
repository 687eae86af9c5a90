import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalModelFile } from '../artifact/manifest.js';
import { type ImageNote, ValidationLoader } from '../data/loader.js';
import type { ImageSource } from '../data/sources/source.js';
import type { Runtime } from '../runtime/runtime.js';
import { messageOf, UserError } from '../util/errors.js';
import { Evaluator } from './engine/evaluator.js';
import type { ModelState } from './engine/model-state.js';
import type { Trainer } from './engine/trainer.js';
import type { Tell } from './observer.js';
import type { Position } from './position.js';

export interface ValidationResult {
  /** Mean over the readable images. */
  readonly loss: number;
  readonly images: number;
  readonly skippedImages: number;
}

export interface ValidationOptions {
  readonly seed: number;
  readonly numWorkers: number;
  readonly exifRotation?: boolean | undefined;
}

/** What validation needs of a run. */
export interface ValidatedRun {
  readonly options: ValidationOptions;
  readonly artifacts: string;
  readonly runtime: Runtime;
  readonly state: ModelState;
  readonly validationImages?: ImageSource | undefined;
  readonly validatedEpochs: number;
}

type OnNotes = (notes: readonly ImageNote[]) => Promise<void>;

/**
 * The loss over the validation images of a run, if it has any, after each epoch. A failure ends no run: it is told. The
 * evaluation graph is loaded when it is first asked for.
 */
export class Validation {
  readonly #run: ValidatedRun;
  readonly #trainer: Trainer;
  readonly #shouldStop: () => boolean;
  readonly #onNotes: OnNotes;
  #validatedEpochs: number;
  #evaluator: Evaluator | undefined;

  /**
   * @param shouldStop whether to leave it to the process that goes on with the run
   * @param onNotes is told how images were read
   */
  constructor(run: ValidatedRun, trainer: Trainer, shouldStop: () => boolean, onNotes: OnNotes) {
    this.#run = run;
    this.#trainer = trainer;
    this.#shouldStop = shouldStop;
    this.#onNotes = onNotes;
    this.#validatedEpochs = run.validatedEpochs;
  }

  /** Whether an epoch has just ended that was not validated yet, maybe by a process that was killed first. */
  isDue({ epoch, stepInEpoch }: Position): boolean {
    const { validationImages } = this.#run;
    return (
      validationImages !== undefined &&
      stepInEpoch === 0 &&
      epoch > this.#validatedEpochs &&
      !this.#shouldStop()
    );
  }

  async run({ epoch: epochs, step }: Position, tell: Tell): Promise<void> {
    const { validationImages, state, options } = this.#run;
    this.#validatedEpochs = epochs;
    const epoch = epochs - 1;
    let result: ValidationResult | undefined;
    try {
      this.#evaluator ??= this.#createEvaluator();
      result = await validate(
        this.#evaluator,
        state,
        validationImages!,
        options,
        this.#shouldStop,
        this.#onNotes,
      );
    } catch (error) {
      await tell('validationFailed', { epoch, step, reason: messageOf(error) });
      return;
    }
    if (result !== undefined) await tell('validated', { epoch, step, ...result });
  }

  release(): void {
    this.#evaluator?.release();
  }

  #createEvaluator(): Evaluator {
    const { runtime, artifacts, state } = this.#run;
    const { manifest } = state;
    const byName = new Map(manifest.parameters.map((parameter) => [parameter.name, parameter]));
    const model = readFileSync(join(artifacts, evalModelFile));
    return new Evaluator(runtime, model, manifest, (name) => this.#trainer.parameter(byName.get(name)!));
  }
}

/**
 * The loss over a source: the middle of each image, with random numbers that belong to the image for good. Undefined
 * where `shouldStop` says so in between.
 */
export async function validate(
  evaluator: Evaluator,
  state: ModelState,
  source: ImageSource,
  options: ValidationOptions,
  shouldStop: () => boolean,
  onNotes: OnNotes = async () => {},
): Promise<ValidationResult | undefined> {
  const { seed, numWorkers, exifRotation } = options;
  const { inputs } = state.manifest;
  const loader = new ValidationLoader({ source, inputs, seed, numWorkers, exifRotation });
  let sum = 0;
  let images = 0;
  try {
    for (let batch = await loader.next(); batch !== undefined; batch = await loader.next()) {
      if (shouldStop()) return undefined;
      await onNotes(batch.notes);
      await evaluator.run(batch.inputs);
      for (let i = 0; i < batch.count; i++) sum += evaluator.outputs['image_loss']![i]!;
      images += batch.count;
      batch.release();
    }
  } finally {
    await loader.close();
  }
  const skippedImages = loader.skipped.length;
  if (images === 0) throw new UserError(`no image of ${source.root} can be read`);
  return { loss: sum / images, images, skippedImages };
}
