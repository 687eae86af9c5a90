import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { evalModelFile } from '../artifact/manifest.js';
import type { Runtime } from '../runtime/runtime.js';
import { Evaluator } from './engine/evaluator.js';
import type { ModelState } from './engine/model-state.js';
import type { Trainer } from './engine/trainer.js';

/** What the evaluation of a run's weights needs. */
export interface EvaluatedRun {
  /** The folder of the artefacts. */
  readonly artifacts: string;
  readonly runtime: Runtime;
  readonly state: ModelState;
}

/**
 * The evaluation graph over the weights of a run as they are, or over their moving average where one is kept. It is loaded
 * when it is first asked for, and again after a release.
 */
export class RunEvaluator {
  readonly #run: EvaluatedRun;
  readonly #trainer: Pick<Trainer, 'parameter' | 'emaParameter'>;
  #evaluator: Evaluator | undefined;

  constructor(run: EvaluatedRun, trainer: Pick<Trainer, 'parameter' | 'emaParameter'>) {
    this.#run = run;
    this.#trainer = trainer;
  }

  get(): Evaluator {
    this.#evaluator ??= this.#create();
    return this.#evaluator;
  }

  release(): void {
    this.#evaluator?.release();
    this.#evaluator = undefined;
  }

  #create(): Evaluator {
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
