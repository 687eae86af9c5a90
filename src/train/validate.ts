import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalModelFile, evaluationInputsOf } from '../artifact/manifest.js';
import type { Augmentation } from '../data/augmentation.js';
import { type ImageNote, ValidationLoader } from '../data/loader.js';
import type { ImageSource } from '../data/sources/source.js';
import type { Runtime } from '../runtime/runtime.js';
import { messageOf, UserError } from '../util/errors.js';
import { sameShape } from '../util/shape.js';
import { Evaluator } from './engine/evaluator.js';
import type { ModelState } from './engine/model-state.js';
import type { Trainer } from './engine/trainer.js';
import type { Metrics, Tell } from './observer.js';
import { endedEpochs, type Plan } from './plan.js';
import type { Position } from './position.js';

export interface ValidationResult {
  /** Mean over the readable images. */
  readonly loss: number;
  readonly images: number;
  readonly skippedImages: number;
  /** Means of what else the task tells of each image, shares of 1 all of them; undefined where it tells nothing. */
  readonly metrics?: Metrics;
}

export interface ValidationOptions {
  readonly seed: number;
  readonly numWorkers: number;
  readonly exifRotation?: boolean | undefined;
  readonly augmentation?: Augmentation | undefined;
}

/** What validation needs of a run. */
export interface ValidatedRun {
  readonly plan: Pick<Plan, 'scheduledSteps'>;
  readonly options: ValidationOptions;
  readonly artifacts: string;
  readonly runtime: Runtime;
  readonly state: ModelState;
  readonly validationImages?: ImageSource | undefined;
  readonly augmentation?: Augmentation | undefined;
  readonly validatedEpochs: number;
}

type OnNotes = (notes: readonly ImageNote[]) => Promise<void>;

/**
 * The loss over the validation images of a run, if it has any, after each epoch: of the moving average of the weights where
 * one is kept. A failure ends no run: it is told. The evaluation graph is loaded when it is first asked for.
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
  isDue(position: Position): boolean {
    const { validationImages, plan } = this.#run;
    const epochs = endedEpochs(position, plan) ?? 0;
    return validationImages !== undefined && epochs > this.#validatedEpochs && !this.#shouldStop();
  }

  /** What was found, by the names of the log; undefined where there is no result. */
  async run(position: Position, tell: Tell): Promise<Metrics | undefined> {
    const { validationImages, augmentation, state, options, plan } = this.#run;
    const { step } = position;
    const epochs = endedEpochs(position, plan) ?? position.epoch;
    this.#validatedEpochs = epochs;
    const epoch = epochs - 1;
    let result: ValidationResult | undefined;
    try {
      this.#evaluator ??= this.#createEvaluator();
      result = await validate(
        this.#evaluator,
        state,
        validationImages!,
        { ...options, augmentation },
        this.#shouldStop,
        this.#onNotes,
      );
    } catch (error) {
      await tell('validationFailed', { epoch, step, reason: messageOf(error) });
      return undefined;
    }
    if (result === undefined) return undefined;
    await tell('validated', { epoch, step, ...result });
    return { loss: result.loss, ...inLog(result.metrics) };
  }

  release(): void {
    this.#evaluator?.release();
  }

  #createEvaluator(): Evaluator {
    const { runtime, artifacts, state } = this.#run;
    const { manifest } = state;
    const byName = new Map(manifest.parameters.map((parameter) => [parameter.name, parameter]));
    const model = readFileSync(join(artifacts, evalModelFile));
    const trainer = this.#trainer;
    const hasAverage = manifest.emaDecay !== undefined;
    return new Evaluator(runtime, model, manifest, (name) => {
      const parameter = byName.get(name)!;
      return hasAverage ? trainer.emaParameter(parameter) : trainer.parameter(parameter);
    });
  }
}

/** Metrics of validation by the names that they have in the log. */
export function inLog(metrics: Metrics = {}): Metrics {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [`val_${name}`, value]));
}

/**
 * The loss over a source, and the other numbers that the task tells of each image: the middle of each image, with random
 * numbers that belong to the image for good. Undefined where `shouldStop` says so in between.
 */
export async function validate(
  evaluator: Evaluator,
  state: ModelState,
  source: ImageSource,
  options: ValidationOptions,
  shouldStop: () => boolean,
  onNotes: OnNotes = async () => {},
): Promise<ValidationResult | undefined> {
  const { manifest } = state;
  const loader = new ValidationLoader({ ...options, source, inputs: evaluationInputsOf(manifest) });
  const { batchSize } = manifest;
  const told = manifest.outputs.filter(({ shape }) => sameShape(shape, [batchSize])).map(({ name }) => name);
  const sums = new Map(told.map((name) => [name, 0]));
  let images = 0;
  try {
    for (let batch = await loader.next(); batch !== undefined; batch = await loader.next()) {
      if (shouldStop()) return undefined;
      await onNotes(batch.notes);
      await evaluator.run(batch.inputs);
      for (const name of told) {
        const values = evaluator.outputs[name]!.subarray(0, batch.count);
        sums.set(
          name,
          values.reduce((sum, value) => sum + value, sums.get(name)!),
        );
      }
      images += batch.count;
      batch.release();
    }
  } finally {
    await loader.close();
  }
  const skippedImages = loader.skipped.length;
  if (images === 0) throw new UserError(`no image of ${source.root} can be read`);
  const { image_loss: loss, ...metrics } = Object.fromEntries(
    [...sums].map(([name, sum]) => [name, sum / images]),
  );
  const hasMetrics = Object.keys(metrics).length > 0;
  return { loss: loss!, images, skippedImages, ...(hasMetrics && { metrics }) };
}
