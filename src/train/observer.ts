import type { BestName } from '../weights/checkpoint/run-directory.js';

export type Metrics = Readonly<Record<string, number>>;

/** What happens in a run, as data: each event with what an observer may want to know of it. */
export interface RunEvents {
  /** Comes before the first step; `step` counts those that the run has behind it. */
  started: {
    readonly step: number;
    readonly totalSteps: number;
    readonly epochs: number;
    readonly resumedFrom: string | undefined;
    readonly device: string;
    readonly compute: string;
  };
  /** Comes after `started`, of a run with such losses. */
  guessed: Guesses & {
    /** Whether they were computed now; else the log has them. */
    readonly isNew: boolean;
  };
  /** The optimizer took a step. */
  stepped: {
    readonly step: number;
    /** Counts from 0, here and below. */
    readonly epoch: number;
    /** Mean over the step's images. */
    readonly loss: number;
    readonly lr: number;
    /** Norm of the gradient of the loss that is not scaled. */
    readonly gradientNorm: number;
    /** What the step's gradients were scaled by, in float16. */
    readonly lossScale: number | undefined;
    readonly imagesPerSecond: number;
    /** Share of the time since the last logged step spent waiting for data. */
    readonly dataWait: number;
    /** Unreadable images met since the start of the run. */
    readonly skippedImages: number;
    /** Whether `--log-every` picks it. */
    readonly isLogged: boolean;
  };
  /** A step without an update. */
  stepSkipped: {
    readonly step: number;
    readonly epoch: number;
    readonly reason: 'overflow' | 'bad';
    readonly loss: number;
    readonly gradientNorm: number;
    readonly lossScale: number | undefined;
    /** The loss scale of the next step. */
    readonly nextLossScale: number | undefined;
    /** The file of the run directory that names its images. */
    readonly images: string | undefined;
  };
  /** An image could not be read, told once each. */
  imageSkipped: { readonly step: number; readonly path: string; readonly reason: string };
  /** How an image was read, where a person should know: the first of each kind. `text` follows its path. */
  imageNoted: { readonly step: number; readonly path: string; readonly kind: string; readonly text: string };
  /** `loss`: mean over the steps of the epoch that the optimizer took. */
  epochEnded: { readonly epoch: number; readonly step: number; readonly loss: number };
  validated: {
    readonly epoch: number;
    readonly step: number;
    /** Mean over the readable images. */
    readonly loss: number;
    readonly images: number;
    readonly skippedImages: number;
    /** Means of what else the task tells of each image, by name, such as `top1`: shares of 1. */
    readonly metrics?: Metrics;
  };
  /** What a probe found of the weights, by the names of the log: accuracies are shares of 1. */
  probed: { readonly epoch: number; readonly step: number; readonly metrics: Metrics };
  /** There is nothing of the probe for this epoch; the run goes on. */
  probeFailed: { readonly epoch: number; readonly step: number; readonly reason: string };
  /** What the model makes of some pictures was drawn; `path` below the run directory. `epochs` are behind the weights. */
  pictured: { readonly epochs: number; readonly step: number; readonly path: string };
  /** There is no such sheet for these weights; the run goes on. */
  picturesFailed: { readonly epochs: number; readonly step: number; readonly reason: string };
  /** There is no loss for this epoch; the run goes on. */
  validationFailed: { readonly epoch: number; readonly step: number; readonly reason: string };
  checkpointSaved: { readonly step: number; readonly path: string };
  /** The weights are not finite. */
  checkpointRefused: { readonly step: number };
  /** The run came to its end or was asked to stop. */
  finished: RunResult;
  /** An error, which the caller gets, ends the run; `checkpoint` is what was saved before, if anything is new. */
  failed: RunResult;
}

export interface RunResult {
  readonly step: number;
  /** Folder of the last step's checkpoint; undefined where it was not saved, for it was a bad one. */
  readonly checkpoint: string | undefined;
  /** The best checkpoint of a run that keeps it. */
  readonly best?: BestCheckpoint | undefined;
}

/** Losses without a model, in the units of the run's. */
export interface Guesses {
  /** Of the mean of all targets. */
  readonly mean: number;
  /** Of one colour for each image, its best. */
  readonly colour: number;
}

/** By what checkpoints of a run are compared: a field of the lines of its log of one type. */
export interface BestMeasure {
  readonly name: BestName;
  readonly type: 'val' | 'probe';
  readonly field: string;
  /** For people. */
  readonly label: string;
  /** Whether it is a loss, and not a share of 1. */
  readonly isLoss: boolean;
}

/** The best checkpoint by a measure; of equal ones the first. */
export interface BestCheckpoint {
  readonly measure: BestMeasure;
  readonly value: number;
  readonly path: string;
}

/**
 * Watches a run: a function for each event that it cares about. The run waits for it, and an error that it throws ends
 * the run; it should be a UserError where a person can do something about it.
 */
export type RunObserver = { readonly [E in keyof RunEvents]?: (data: RunEvents[E]) => void | Promise<void> };

export type Tell = <E extends keyof RunEvents>(event: E, data: RunEvents[E]) => Promise<void>;

/** Tells all observers, one after the other. */
export function tellAll(observers: readonly RunObserver[]): Tell {
  return async <E extends keyof RunEvents>(event: E, data: RunEvents[E]) => {
    for (const observer of observers) await observer[event]?.(data);
  };
}
