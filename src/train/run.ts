import type { Augmentation } from '../data/augmentation.js';
import type { ImageSource } from '../data/sources/source.js';
import type { Communicator } from '../runtime/comm/communicator.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Compute } from './engine/compute.js';
import type { ModelState } from './engine/model-state.js';
import type { KeptBest } from './kept-best.js';
import type { TrainOptions } from './options.js';
import type { Plan } from './plan.js';
import type { Position } from './position.js';

/** A run that is ready to start. */
export interface Run {
  readonly options: TrainOptions;
  readonly plan: Plan;
  /** The folder of the artefacts. */
  readonly artifacts: string;
  readonly compute: Compute;
  readonly runtime: Runtime;
  readonly communicator: Communicator;
  readonly trainImages: ImageSource;
  readonly validationImages?: ImageSource | undefined;
  /** As in pretraining where not given. */
  readonly augmentation?: Augmentation | undefined;
  /** The best checkpoint is kept by this metric of validation. */
  readonly best?: KeptBest | undefined;
  /** Epochs behind the run at its last validation; what it goes on from may have ended more. */
  readonly validatedEpochs: number;
  /** The checkpoint folder to go on from. */
  readonly resumeFrom?: string | undefined;
  /** Weights, moments and place at the start. */
  readonly state: ModelState;
  readonly position: Position;
}
