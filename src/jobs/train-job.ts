/** What a run is made of, whatever its task: what a command that trains hands to `trainRun`. */
import type { Manifest } from '../artifact/manifest.js';
import type { Augmentation } from '../data/augmentation.js';
import type { ImageSource } from '../data/sources/source.js';
import type { ModelConfig } from '../model/config.js';
import type { Task } from '../model/task.js';
import type { Runtime } from '../runtime/runtime.js';
import type { TrainCommand } from '../train/changes-result.js';
import type { BestMeasure, Guesses, RunObserver } from '../train/observer.js';
import type { RunFacts } from '../train/observers/console.js';
import type { TrainOptions } from '../train/options.js';
import type { PictureSheets } from '../train/picturing.js';
import type { Plan } from '../train/plan.js';
import type { Probe } from '../train/probing.js';
import type { TaskDescription } from './describe-plan.js';
import type { Prepared } from './prepare.js';

/** A person before a run: what they see, and what they ask. */
export interface Terminal {
  readonly observer: RunObserver;
  /** Is told what is known of a run before it starts. */
  know?(facts: RunFacts): void;
  /** Is given each line of the log as it is written. */
  onLogLine?(line: string): void;
  /** Shows what a person should know before the first step, a line each. */
  note(line: string): void;
  /** Whether to stop after the step at hand. */
  shouldStop(): boolean;
}

/** The images of a run. */
export interface RunSources {
  readonly trainImages: ImageSource;
  readonly validationImages: ImageSource | undefined;
}

/** What pictures need of a run. */
export interface PicturedRunSources extends RunSources {
  readonly manifest: Manifest;
  /** Whether the run may have shown some before. */
  readonly isResumed: boolean;
}

/** What a command that trains hands in. */
export interface TrainJob<O extends TrainOptions> {
  readonly command: TrainCommand;
  readonly prepared: Prepared<O>;
  /** How images are changed; as in pretraining where not given. */
  readonly augmentation?: Augmentation | undefined;
  openImages(note: (line: string) => void): Promise<RunSources>;
  /** Parameters that a new run does not start afresh, if there are some. */
  initialWeights?(note: (line: string) => void): Promise<ReadonlyMap<string, Float32Array>>;
  /** Opens what judges the weights now and then, if something does. */
  openProbe?(runtime: Runtime, note: (line: string) => void): Promise<Probe>;
  /** Opens what shows now and then what the weights make of some pictures, if something does. */
  openPictures?(
    runtime: Runtime,
    run: PicturedRunSources,
    note: (line: string) => void,
  ): PictureSheets | undefined;
  /** By what the best checkpoint is kept beside the newest, if it is. */
  readonly bestBy?: BestMeasure | undefined;
  /** Whether the time that the options give is to decide the epochs. */
  readonly isTimed: boolean;
  /** The task of another size. */
  taskOf(config: ModelConfig): Task;
  /** The same run with other epochs, and the warm-up that belongs to them: for a time that is given. */
  withEpochs(epochs: number): Promise<TrainJob<O>>;
  /** Losses of guesses, where a task has some. */
  guess?(images: RunSources): Promise<Guesses | undefined>;
  /** Commands to try after the run, as they are typed. */
  next(images: RunSources): readonly string[];
  /** What only the task knows of the plan. */
  describe(): TaskDescription;
  /** Lines for a person, before the first step. */
  summary(plan: Plan, images: RunSources): readonly string[];
}
