import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalModelFile } from '../artifact/manifest.js';
import { ValidationLoader } from '../data/loader.js';
import type { ImageSource } from '../data/sources/source.js';
import type { Runtime } from '../runtime/runtime.js';
import { Evaluator } from './engine/evaluator.js';
import type { ModelState } from './engine/model-state.js';
import type { Trainer } from './engine/trainer.js';

export interface ValidationResult {
  /** Mean over the readable images. */
  readonly loss: number;
  readonly images: number;
  readonly skippedImages: number;
}

/** What validation needs of a run. */
export interface ValidatedRun {
  readonly options: { readonly seed: number; readonly numWorkers: number };
  readonly artifacts: string;
  readonly runtime: Runtime;
  readonly state: ModelState;
  readonly validationImages?: ImageSource | undefined;
}

/** The loss over the validation images of a run, if it has any. The evaluation graph is loaded when it is first asked for. */
export class Validation {
  readonly #run: ValidatedRun;
  readonly #trainer: Trainer;
  #evaluator: Evaluator | undefined;

  constructor(run: ValidatedRun, trainer: Trainer) {
    this.#run = run;
    this.#trainer = trainer;
  }

  async run(): Promise<ValidationResult | undefined> {
    const { validationImages, state, options } = this.#run;
    if (validationImages === undefined) return undefined;
    this.#evaluator ??= this.#createEvaluator();
    return validate(this.#evaluator, state, validationImages, options);
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

/** The loss over a source: the middle of each image, with random numbers that belong to the image for good. */
export async function validate(
  evaluator: Evaluator,
  state: ModelState,
  source: ImageSource,
  { seed, numWorkers }: { seed: number; numWorkers: number },
): Promise<ValidationResult> {
  const loader = new ValidationLoader({ source, inputs: state.manifest.inputs, seed, numWorkers });
  let sum = 0;
  let images = 0;
  let skippedImages = 0;
  try {
    for (let batch = await loader.next(); batch !== undefined; batch = await loader.next()) {
      await evaluator.run(batch.inputs);
      for (let i = 0; i < batch.count; i++) sum += evaluator.outputs['image_loss']![i]!;
      images += batch.count;
      skippedImages += batch.skipped.length;
      batch.release();
    }
  } finally {
    await loader.close();
  }
  return { loss: sum / images, images, skippedImages };
}
