import { linprobeTask } from '../model/classifier.js';
import type { ModelConfig } from '../model/config.js';
import { larsDefaults } from '../model/optim/lars.js';
import { scaleLearningRate } from '../model/optim/schedule.js';
import type { RunResult } from '../train/observer.js';
import { type LinprobeOptions, linprobeDefaults, warmupShare } from '../train/options.js';
import { resolveExifRotation } from '../train/recorded-run.js';
import { UserError } from '../util/errors.js';
import { checkRunFolder } from './check-output.js';
import { openClassImages } from './class-images.js';
import {
  classifierAugmentation,
  classifierJob,
  classifierSummary,
  openStartingPoint,
  type PreparedClassifier,
  timeOf,
  withEpochs,
} from './classifier.js';
import { prepare } from './prepare.js';
import { withDecidedTime } from './time-budget.js';
import type { Terminal, TrainJob } from './train-job.js';
import { trainRun } from './train-run.js';

/** What was given; the published protocol says the rest. */
export type GivenLinprobeOptions = Partial<LinprobeOptions> & Pick<LinprobeOptions, 'dataPath' | 'outputDir'>;

/** What a run decides first. Nothing is written. */
export async function prepareLinprobe(
  all: GivenLinprobeOptions,
  note: (line: string) => void,
): Promise<PreparedClassifier<LinprobeOptions>> {
  checkRunFolder(all.outputDir);
  const given = await withDecidedTime(all);
  const epochs = given.epochs ?? linprobeDefaults.epochs;
  const warmupEpochs = warmupShare(epochs, linprobeDefaults);
  const options = await resolveExifRotation<LinprobeOptions>({
    ...linprobeDefaults,
    ...defaultRate(given),
    warmupEpochs,
    ...given,
  });
  if (!options.autoBatch) checkBatchNorm(options);
  const { config, parameters } = await openStartingPoint('linprobe', options, note);
  const images = await openClassImages(options, note);
  // the published crop: one draw, whose sides are cut off at the picture's
  const augmentation = classifierAugmentation(options, config, 1);
  const { evaluationCrop } = augmentation;
  const { classNames: classes } = images.trainImages;
  const taskOf = (sizes: ModelConfig) => linprobeTask(sizes, { classes, pool: options.pool, evaluationCrop });
  const prepared = await prepare(options, taskOf(config), { optimizer: larsDefaults });
  checkBatchNorm(prepared.options); // as --auto-batch divided it
  return { prepared, images, augmentation, parameters, taskOf, ...timeOf(given) };
}

/**
 * The published rate, 6.4, and more above the published batch. Below it stays: LARS moves a weight by a share of its length,
 * however large its gradient is, so that a step of few images at a smaller rate is only a smaller step.
 */
function defaultRate({ blr, batchSize, accumIter }: GivenLinprobeOptions): { lr?: number } {
  if (blr !== undefined) return {};
  const batch = (batchSize ?? linprobeDefaults.batchSize) * (accumIter ?? linprobeDefaults.accumIter);
  return { lr: scaleLearningRate(linprobeDefaults.blr, Math.max(batch, publishedBatch)) };
}

const publishedBatch = 16_384;

/** One image has no variance. */
function checkBatchNorm({ batchSize }: LinprobeOptions): void {
  if (batchSize >= 2) return;
  throw new UserError(
    `--batch-size: expected two images or more, for batch norm, got ${batchSize}; give a larger one`,
  );
}

/** Trains a linear layer on the frozen features of an encoder. */
export async function linprobe(given: GivenLinprobeOptions, terminal: Terminal): Promise<RunResult> {
  return trainRun(linprobeJob(await prepareLinprobe(given, terminal.note)), terminal);
}

export function linprobeJob(classifier: PreparedClassifier<LinprobeOptions>): TrainJob<LinprobeOptions> {
  const { prepared, images } = classifier;
  const warmupOf = (epochs: number) => warmupShare(epochs, linprobeDefaults);
  return {
    command: 'linprobe',
    ...classifierJob(classifier),
    withEpochs: async (epochs) => linprobeJob(withEpochs(classifier, epochs, warmupOf)),
    summary: (plan) => classifierSummary(prepared, plan, images),
  };
}
