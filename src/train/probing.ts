import type { BoundTensor } from '../runtime/tensor.js';
import { messageOf } from '../util/errors.js';
import type { ModelState } from './engine/model-state.js';
import type { Trainer } from './engine/trainer.js';
import type { Metrics, Tell } from './observer.js';
import { endedEpochs, type Plan } from './plan.js';
import type { Position } from './position.js';

/** Judges weights by pictures whose classes are known, which they were not trained with. */
export interface Probe {
  /** Epochs from one to the next; after the last epoch there is one in any case. */
  readonly every: number;
  /**
   * What is found, by the names of the log; undefined where `shouldStop` says so in between. Nothing of the run changes.
   *
   * @param parameters by name, where the device has them
   */
  judge(
    parameters: ReadonlyMap<string, BoundTensor>,
    shouldStop: () => boolean,
  ): Promise<Metrics | undefined>;
}

/** What probes need of a run. */
export interface ProbedRun {
  readonly probe?: Probe | undefined;
  readonly plan: Pick<Plan, 'totalSteps' | 'scheduledSteps'>;
  readonly state: ModelState;
  readonly probedEpochs: number;
}

/** The probes of a run, if it has any. One that fails ends no run: it is told. */
export class Probing {
  readonly #run: ProbedRun;
  readonly #trainer: Pick<Trainer, 'parameter'>;
  readonly #shouldStop: () => boolean;
  #probedEpochs: number;

  /** @param shouldStop whether to leave it to the process that goes on with the run */
  constructor(run: ProbedRun, trainer: Pick<Trainer, 'parameter'>, shouldStop: () => boolean) {
    this.#run = run;
    this.#trainer = trainer;
    this.#shouldStop = shouldStop;
    this.#probedEpochs = run.probedEpochs;
  }

  /** Whether an epoch to be probed has just ended and was not, maybe by a process that was killed first. */
  isDue(position: Position): boolean {
    const { probe, plan } = this.#run;
    const epochs = endedEpochs(position, plan) ?? 0;
    if (probe === undefined || epochs <= this.#probedEpochs) return false;
    return (epochs % probe.every === 0 || position.step >= plan.totalSteps) && !this.#shouldStop();
  }

  /** What was found; undefined where there is no result. */
  async run(position: Position, tell: Tell): Promise<Metrics | undefined> {
    const { probe, state, plan } = this.#run;
    const { step } = position;
    const epochs = endedEpochs(position, plan) ?? position.epoch;
    this.#probedEpochs = epochs;
    const epoch = epochs - 1;
    const parameters = new Map(
      state.manifest.parameters.map((parameter) => [parameter.name, this.#trainer.parameter(parameter)]),
    );
    let metrics: Metrics | undefined;
    try {
      metrics = await probe!.judge(parameters, this.#shouldStop);
    } catch (error) {
      await tell('probeFailed', { epoch, step, reason: messageOf(error) });
      return undefined;
    }
    if (metrics !== undefined) await tell('probed', { epoch, step, metrics });
    return metrics;
  }
}
