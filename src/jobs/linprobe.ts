import { linprobeTask } from '../model/classifier.js';
import { larsDefaults } from '../model/optim/lars.js';
import type { RunResult } from '../train/observer.js';
import { type LinprobeOptions, linprobeDefaults, warmupShare } from '../train/options.js';
import { resolveExifRotation } from '../train/recorded-run.js';
import { UserError } from '../util/errors.js';
import { checkRunFolder } from './check-output.js';
import { openClassImages } from './class-images.js';
import { classifierAugmentation, classifierSummary, openStartingPoint } from './classifier.js';
import type { PreparedClassifier } from './finetune.js';
import { prepare } from './prepare.js';
import { type Terminal, trainRun } from './train-run.js';

/** What was given; the published protocol says the rest. */
export type GivenLinprobeOptions = Partial<LinprobeOptions> & Pick<LinprobeOptions, 'dataPath' | 'outputDir'>;

/** What a run decides first. Nothing is written. */
export async function prepareLinprobe(
  given: GivenLinprobeOptions,
  note: (line: string) => void,
): Promise<PreparedClassifier<LinprobeOptions>> {
  checkRunFolder(given.outputDir);
  const epochs = given.epochs ?? linprobeDefaults.epochs;
  const warmupEpochs = warmupShare(epochs, linprobeDefaults);
  const options = await resolveExifRotation<LinprobeOptions>({ ...linprobeDefaults, warmupEpochs, ...given });
  checkBatchNorm(options);
  const { config, parameters } = await openStartingPoint('linprobe', options, note);
  const images = await openClassImages(options, note);
  const task = linprobeTask(config, { classes: images.trainImages.classNames, pool: options.pool });
  const prepared = await prepare(options, task, { optimizer: larsDefaults });
  checkBatchNorm(prepared.options); // as --auto-batch divided it
  // the published crop: one draw, whose sides are cut off at the picture's
  return { prepared, images, augmentation: classifierAugmentation(options, config, 1), parameters };
}

/** One image has no variance. */
function checkBatchNorm({ batchSize }: LinprobeOptions): void {
  if (batchSize >= 2) return;
  throw new UserError(
    `--batch-size: expected two images or more, for batch norm, got ${batchSize}; give a larger one`,
  );
}

/** Trains a linear layer on the frozen features of an encoder. */
export async function linprobe(given: GivenLinprobeOptions, terminal: Terminal): Promise<RunResult> {
  const { prepared, images, augmentation, parameters } = await prepareLinprobe(given, terminal.note);
  return trainRun(
    {
      command: 'linprobe',
      prepared,
      augmentation,
      openImages: async () => images,
      ...(parameters && { initialWeights: async () => parameters }),
      ...(images.validationImages && { bestMetric: 'top1' }),
      summary: (plan) => classifierSummary(prepared, plan, images),
    },
    terminal,
  );
}
