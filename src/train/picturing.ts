import type { BoundTensor } from '../runtime/tensor.js';
import { messageOf } from '../util/errors.js';
import type { ModelState } from './engine/model-state.js';
import type { Trainer } from './engine/trainer.js';
import type { Tell } from './observer.js';
import type { Plan } from './plan.js';
import type { Position } from './position.js';

/** Shows what the weights make of some pictures, the same ones each time. */
export interface PictureSheets {
  /** Epochs from one sheet to the next; there is one of the fresh weights and one after the last epoch in any case. */
  readonly every: number;
  /**
   * Writes the sheet of weights that have so many epochs behind them. Returns its path below the run directory.
   *
   * @param parameters by name, where the device has them: the same each time
   */
  write(parameters: ReadonlyMap<string, BoundTensor>, epochs: number): Promise<string>;
  release(): void;
}

/** What pictures need of a run. */
export interface PicturedRun {
  readonly pictures?: PictureSheets | undefined;
  readonly plan: Pick<Plan, 'totalSteps'>;
  readonly state: ModelState;
  /** Epochs behind the last sheet; −1 where there is none. */
  readonly picturedEpochs?: number;
}

/** The sheets of a run, if it draws any. One that fails ends no run: it is told. */
export class Picturing {
  readonly #run: PicturedRun;
  readonly #trainer: Pick<Trainer, 'parameter'>;
  readonly #shouldStop: () => boolean;
  #picturedEpochs: number;

  /** @param shouldStop whether to leave it to the process that goes on with the run */
  constructor(run: PicturedRun, trainer: Pick<Trainer, 'parameter'>, shouldStop: () => boolean) {
    this.#run = run;
    this.#trainer = trainer;
    this.#shouldStop = shouldStop;
    this.#picturedEpochs = run.picturedEpochs ?? -1;
  }

  /** Whether the run is at an epoch of which there is to be a sheet, and is none. */
  isDue({ epoch, stepInEpoch, step }: Position): boolean {
    const { pictures, plan } = this.#run;
    if (pictures === undefined || stepInEpoch !== 0 || epoch <= this.#picturedEpochs) return false;
    return (epoch % pictures.every === 0 || step >= plan.totalSteps) && !this.#shouldStop();
  }

  async run({ epoch: epochs, step }: Position, tell: Tell): Promise<void> {
    const { pictures, state } = this.#run;
    this.#picturedEpochs = epochs;
    const parameters = new Map(
      state.manifest.parameters.map((parameter) => [parameter.name, this.#trainer.parameter(parameter)]),
    );
    let path: string;
    try {
      path = await pictures!.write(parameters, epochs);
    } catch (error) {
      await tell('picturesFailed', { epochs, step, reason: messageOf(error) });
      return;
    }
    await tell('pictured', { epochs, step, path });
  }
}
