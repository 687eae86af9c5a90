/** What fine-tuning and the linear probe share: an encoder to begin with, and images with classes. */
import { parameterCount } from '../artifact/manifest.js';
import { type Augmentation, publishedEvaluationCrop } from '../data/augmentation.js';
import { type ClassifierPool, encoderOf } from '../model/classifier-parameters.js';
import { formatInputSize, type ModelConfig, patchCount, patchGrid, withInputSize } from '../model/config.js';
import { encoderParameters } from '../model/parameters.js';
import { loadModelConfig } from '../model/presets.js';
import type { Task } from '../model/task.js';
import type { TrainCommand } from '../train/changes-result.js';
import { bestMeasures } from '../train/kept-best.js';
import type { ClassifierOptions } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { runToContinue } from '../train/recorded-run.js';
import { commandOf } from '../train/run-config.js';
import { UserError } from '../util/errors.js';
import { interpolatePositions } from '../weights/foreign/interpolate-positions.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import type { TaskDescription } from './describe-plan.js';
import { afterClassifier } from './next-commands.js';
import type { Prepared } from './prepare.js';
import type { RunSources, TrainJob } from './train-job.js';
import { describeSteps } from './train-run.js';

/** Where a classifier begins. */
export interface StartingPoint {
  readonly config: ModelConfig;
  /** None where the encoder starts fresh, or a run goes on from its own. */
  readonly parameters?: ReadonlyMap<string, Float32Array>;
}

/** What says where a classifier begins. */
export interface StartingOptions
  extends Pick<ClassifierOptions, 'checkpoint' | 'numHeads' | 'inputSize' | 'outputDir' | 'resume' | 'pool'> {
  readonly model?: string | undefined;
  readonly fromScratch?: boolean;
}

type Note = (line: string) => void;

/** The encoder of `--checkpoint`, at the input size that is asked for; of a run that goes on its sizes alone. */
export async function openStartingPoint(
  command: TrainCommand,
  options: StartingOptions,
  note: Note,
): Promise<StartingPoint> {
  const { checkpoint, inputSize, model, fromScratch = false } = options;
  checkStart(options);
  const recorded = await runToContinue(options);
  if (recorded?.hasCheckpoint && commandOf(recorded.config) === command) {
    return { config: resized(recorded.config.model, inputSize) };
  }
  if (checkpoint === undefined) return { config: resized(loadModelConfig(model!), inputSize) };
  // the probe's features pass the encoder's last norm; fine-tuning has another one for the mean
  const specsOf = (config: ModelConfig) =>
    command === 'linprobe' ? encoderParameters(config) : encoderOf(config, options.pool);
  const weights = await loadWeights(checkpoint, specsOf, options);
  for (const line of weights.notes) note(line);
  const config = resized(weights.config, inputSize);
  return fromScratch ? { config } : { config, parameters: parametersFor(config, weights, note) };
}

function checkStart({ checkpoint, model, fromScratch = false }: StartingOptions): void {
  if (model !== undefined && (checkpoint !== undefined || !fromScratch)) {
    throw new UserError(
      '--model: expected with --from-scratch and without --checkpoint, whose sizes are taken; leave one of them out',
    );
  }
  if (checkpoint === undefined && model === undefined) {
    throw new UserError(
      '--checkpoint: expected the weights to start from, got none; give them, or --from-scratch with --model',
    );
  }
}

function resized(config: ModelConfig, inputSize: ModelConfig['inputSize'] | undefined): ModelConfig {
  return inputSize === undefined ? config : withInputSize(config, inputSize);
}

/** Positions of another grid of patches are interpolated, as in the published code. */
function parametersFor(
  config: ModelConfig,
  { config: there, parameters }: Weights,
  note: Note,
): ReadonlyMap<string, Float32Array> {
  const [from, to] = [patchGrid(there), patchGrid(config)];
  if (from.rows === to.rows && from.columns === to.columns) return parameters;
  note(`positions of ${from.rows} × ${from.columns} patches are interpolated to ${to.rows} × ${to.columns}`);
  const table = interpolatePositions(parameters.get('pos_embed')!, from, to, config.embedDim);
  return new Map([...parameters, ['pos_embed', table]]);
}

/** Crops of training, flips, and the middle that evaluation sees: 224 of 256 pixels, as published, or all above that. */
export function classifierAugmentation(
  { cropScale, evalCrop }: ClassifierOptions,
  config: ModelConfig,
  tries: 10 | 1,
): Augmentation {
  return {
    crop: { scale: [cropScale, 1], ratio: [3 / 4, 4 / 3], tries },
    flipProbability: 0.5,
    evaluationCrop: evalCrop ?? publishedEvaluationCrop(config),
  };
}

const poolNames: Readonly<Record<ClassifierPool, string>> = {
  mean: 'the mean of the patch tokens',
  cls: 'the class token',
};

/** Lines before the first step. */
export function classifierSummary(
  { options, artifacts: { manifest } }: Prepared<ClassifierOptions & StartingOptions>,
  plan: Plan,
  { trainImages, validationImages }: RunSources,
): string[] {
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  const { images, leftOver } = describeSteps(options, plan, trainImages.length);
  const validation =
    validationImages === undefined
      ? ['without --val-path there is no accuracy, and no best checkpoint']
      : [`${options.valPath}: ${validationImages.length} images for the accuracy after each epoch`];
  return [
    `${startName(options)}: ${millions} M parameters, ${trainImages.classNames.length} classes from ${poolNames[options.pool]}`,
    images,
    ...validation,
    ...leftOver,
  ];
}

function startName({ checkpoint, model, fromScratch }: StartingOptions): string {
  const name = checkpoint ?? model!;
  return fromScratch ? `${name}, from scratch` : name;
}

/** What `--dry-run` says of the model. */
export function describeClassifier({
  options,
  task: { model },
}: Prepared<ClassifierOptions & StartingOptions>): TaskDescription {
  return {
    model: `${startName(options)}, ${formatInputSize(model)}, patch ${model.patchSize}`,
    tokens: `${patchCount(model)} patches an image, all of them visible`,
  };
}

/** What a run of a classifier decides first. */
export interface PreparedClassifier<O> {
  readonly prepared: Prepared<O>;
  readonly images: RunSources;
  readonly augmentation: Augmentation;
  readonly parameters: ReadonlyMap<string, Float32Array> | undefined;
  /** Of another size. */
  taskOf(config: ModelConfig): Task;
  /** Whether the time that is given has yet to decide the epochs. */
  readonly isTimed: boolean;
  /** As it was given; else it follows from the epochs. */
  readonly warmupEpochs: number | undefined;
}

/** What a time that is given has yet to decide. */
export function timeOf({
  timeBudget,
  epochs,
  warmupEpochs,
}: Partial<ClassifierOptions>): Pick<PreparedClassifier<unknown>, 'isTimed' | 'warmupEpochs'> {
  return { isTimed: timeBudget !== undefined && epochs === undefined, warmupEpochs };
}

/** What the jobs of classifiers share. */
export function classifierJob<O extends ClassifierOptions>({
  prepared,
  images,
  augmentation,
  parameters,
  taskOf,
  isTimed,
}: PreparedClassifier<O>): Omit<TrainJob<O>, 'command' | 'withEpochs' | 'summary'> {
  return {
    prepared,
    augmentation,
    taskOf,
    isTimed,
    openImages: async () => images,
    ...(parameters && { initialWeights: async () => parameters }),
    ...(images.validationImages && { bestBy: bestMeasures.top1 }),
    describe: () => describeClassifier(prepared),
    next: () => afterClassifier(prepared.options),
  };
}

/** With epochs that a time decided, and their share of warm-up. */
export function withEpochs<O extends ClassifierOptions>(
  classifier: PreparedClassifier<O>,
  epochs: number,
  warmupOf: (epochs: number) => number,
): PreparedClassifier<O> {
  const { prepared } = classifier;
  const warmupEpochs = classifier.warmupEpochs ?? Number(warmupOf(epochs).toPrecision(3));
  return {
    ...classifier,
    prepared: { ...prepared, options: { ...prepared.options, epochs, warmupEpochs } },
    isTimed: false,
  };
}
