import { parameterCount } from '../artifact/manifest.js';
import { pretrainAugmentation } from '../data/augmentation.js';
import { formatInputSize } from '../model/config.js';
import { maeTask } from '../model/mae.js';
import type { MaeOptions } from '../model/mask.js';
import { modelOf } from '../model/presets.js';
import { bestMeasures } from '../train/kept-best.js';
import type { RunResult } from '../train/observer.js';
import type { PretrainOptions } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { resolveExifRotation } from '../train/recorded-run.js';
import { loadInitialWeights } from '../weights/foreign/initial-weights.js';
import { checkRunFolder } from './check-output.js';
import type { TaskDescription } from './describe-plan.js';
import { guessLosses } from './guesses.js';
import { afterPretraining } from './next-commands.js';
import { type Prepared, prepare } from './prepare.js';
import { openPictures } from './pretrain-pictures.js';
import { checkProbeOptions, openProbe } from './pretrain-probe.js';
import { type GivenPretrainOptions, warmupOf, withRecipe } from './pretrain-recipe.js';
import { openRunImages, openTrainImages } from './run-images.js';
import { withDecidedTime } from './time-budget.js';
import type { RunSources, Terminal, TrainJob } from './train-job.js';
import { describeSteps, trainRun } from './train-run.js';

/** What a run decides first. A UserError where its directory cannot be one. */
export async function preparePretraining(all: GivenPretrainOptions): Promise<PreparedPretraining> {
  checkRunFolder(all.outputDir);
  checkProbeOptions(all);
  const given = await withDecidedTime(all);
  const config = modelOf(given);
  const task = maeTask(config, given);
  const countImages = async () => (await openTrainImages(given, () => {})).length; // notes come with the run
  const { options, recipeLine } = await withRecipe(given, config, countImages);
  const isTimed = given.timeBudget !== undefined && given.epochs === undefined;
  return { ...(await prepare(await resolveExifRotation(options), task)), recipeLine, isTimed };
}

export interface PreparedPretraining extends Prepared<PretrainOptions & { exifRotation: boolean }> {
  /** What a recipe decided, for a person. */
  readonly recipeLine: string | undefined;
  /** Whether the time that is given has yet to decide the epochs. */
  readonly isTimed: boolean;
}

/** Builds what a run needs, continues the run of its directory or starts one, and trains. */
export async function pretrain(given: GivenPretrainOptions, terminal: Terminal): Promise<RunResult> {
  return trainRun(pretrainJob(await preparePretraining(given), given.warmupEpochs), terminal);
}

/** @param warmupEpochs as they were given; else they follow from the epochs */
export function pretrainJob(
  prepared: PreparedPretraining,
  warmupEpochs?: number,
): TrainJob<PretrainOptions & { exifRotation: boolean }> {
  const { options, task, isTimed } = prepared;
  const { init } = options;
  const augmentation = {
    ...pretrainAugmentation,
    crop: { ...pretrainAugmentation.crop, scale: [options.cropScale, 1] as const },
  };
  return {
    command: 'pretrain',
    prepared,
    augmentation,
    isTimed,
    openImages: (note) => openRunImages(options, note),
    ...(options.probePath !== undefined && {
      openProbe: (runtime, note) => openProbe(runtime, task.model, options, note),
    }),
    openPictures: (runtime, run, note) => openPictures(runtime, run, options, note),
    ...(options.keepBest !== undefined && { bestBy: bestMeasures[options.keepBest] }),
    ...(init !== undefined && {
      initialWeights: async (note) => {
        const { notes, parameters } = await loadInitialWeights(init, task.model);
        for (const line of notes) note(line);
        return parameters;
      },
    }),
    taskOf: (config) => maeTask(config, options),
    withEpochs: async (epochs) => pretrainJob(timedPretraining(prepared, epochs, warmupEpochs)),
    guess: ({ trainImages }) => guessLosses(task.model, { ...options, augmentation, source: trainImages }),
    describe: () => describePretraining(prepared),
    next: (images) => afterPretraining(options, images),
    summary: (plan, images) => summary(prepared, plan, images),
  };
}

/** With epochs that a time decided. */
function timedPretraining(
  prepared: PreparedPretraining,
  epochs: number,
  given: number | undefined,
): PreparedPretraining {
  const { options } = prepared;
  const warmupEpochs = given ?? warmupOf(options.recipe, epochs);
  const { recipe, blr, lr } = options;
  const recipeLine = `recipe ${recipe}: ${lr === undefined ? `blr ${blr}` : `lr ${lr}`}`;
  return { ...prepared, options: { ...options, epochs, warmupEpochs }, recipeLine, isTimed: false };
}

function summary(
  { options, recipeLine, artifacts: { manifest } }: PreparedPretraining,
  plan: Plan,
  { trainImages }: RunSources,
): string[] {
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  const { kept, patches } = manifest.options as MaeOptions;
  const { images, leftOver } = describeSteps(options, plan, trainImages.length);
  return [
    `${options.model}: ${millions} M parameters, ${kept} of ${patches} patches visible`,
    images,
    ...(recipeLine === undefined ? [] : [recipeLine]),
    ...leftOver,
  ];
}

/** What `--dry-run` says of the model. */
function describePretraining({
  options,
  task,
  recipeLine,
  artifacts: { manifest },
}: PreparedPretraining): TaskDescription {
  const { patches, kept, predicted } = manifest.options as MaeOptions;
  const removed = `${patches - kept} removed${predicted === undefined ? '' : `, ${predicted} of them predicted`}`;
  return {
    model: `${options.model}, ${formatInputSize(task.model)}, patch ${task.model.patchSize}`,
    tokens: `${patches} patches an image: ${kept} visible, ${removed}`,
    ...(recipeLine !== undefined && { recipe: recipeLine.replace(/^recipe /, '') }),
  };
}
