import type { Augmentation } from '../data/augmentation.js';
import type { ImageSource } from '../data/sources/source.js';
import type { Communicator } from '../runtime/comm/communicator.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Compute } from './engine/compute.js';
import type { ModelState } from './engine/model-state.js';
import type { KeptBest } from './kept-best.js';
import type { TrainOptions } from './options.js';
import type { PictureSheets } from './picturing.js';
import type { Plan } from './plan.js';
import type { Position } from './position.js';
import type { Probe } from './probing.js';

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
  /** Judges the weights now and then. */
  readonly probe?: Probe | undefined;
  /** Shows what the weights make of some pictures now and then. */
  readonly pictures?: PictureSheets | undefined;
  /** The best checkpoint is kept by this measure. */
  readonly best?: KeptBest | undefined;
  /** Epochs behind the run at its last validation; what it goes on from may have ended more. */
  readonly validatedEpochs: number;
  /** The same of its last probe. */
  readonly probedEpochs: number;
  /** Those behind its last sheet of pictures; −1 where there is none. */
  readonly picturedEpochs?: number;
  /** The checkpoint folder to go on from. */
  readonly resumeFrom?: string | undefined;
  /** Weights, moments and place at the start. */
  readonly state: ModelState;
  readonly position: Position;
}
