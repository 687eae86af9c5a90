import { parsePolicy } from '../data/augment/policy.js';
import type { Augmentation } from '../data/augmentation.js';
import { finetuneTask } from '../model/classifier.js';
import type { ModelConfig } from '../model/config.js';
import { adamWDefaults } from '../model/optim/adamw.js';
import type { RunResult } from '../train/observer.js';
import { type FinetuneOptions, finetuneDefaults, warmupShare } from '../train/options.js';
import { resolveExifRotation } from '../train/recorded-run.js';
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
import { loadRecipe, recipeOf } from './recipes.js';
import { withDecidedTime } from './time-budget.js';
import type { Terminal, TrainJob } from './train-job.js';
import { trainRun } from './train-run.js';

/** What was given; a recipe says the rest. */
export type GivenFinetuneOptions = Partial<FinetuneOptions> & Pick<FinetuneOptions, 'dataPath' | 'outputDir'>;

/** β of PyTorch's AdamW, as the published fine-tuning has it. */
const optimizer = { ...adamWDefaults, beta2: 0.999 };

/** What a run decides first. Nothing is written. */
export async function prepareFinetuning(
  all: GivenFinetuneOptions,
  note: (line: string) => void,
): Promise<PreparedClassifier<FinetuneOptions>> {
  checkRunFolder(all.outputDir);
  const given = await withDecidedTime(all);
  const { config, parameters } = await openStartingPoint('finetune', { ...finetuneDefaults, ...given }, note);
  const options = await resolveExifRotation(withRecipe(given, config));
  if (options.randAugment !== 'none') parsePolicy(options.randAugment); // a mistake in it is told here
  const images = await openClassImages(options, note);
  const augmentation = finetuneAugmentation(options, config);
  const taskOf = (sizes: ModelConfig) =>
    finetuneTask(sizes, {
      classes: images.trainImages.classNames,
      pool: options.pool,
      evaluationCrop: augmentation.evaluationCrop,
      layerDecay: options.layerDecay,
      smoothing: options.smoothing,
      hasDropPath: augmentation.dropPath !== undefined,
      hasMix: augmentation.mix !== undefined,
      hasErasing: augmentation.erasing !== undefined,
    });
  const prepared = await prepare(options, taskOf(config), { optimizer, emaDecay: options.emaDecay });
  return { prepared, images, augmentation, parameters, taskOf, ...timeOf(given) };
}

/** Fine-tunes an encoder with a head for the classes of a folder. */
export async function finetune(given: GivenFinetuneOptions, terminal: Terminal): Promise<RunResult> {
  return trainRun(finetuneJob(await prepareFinetuning(given, terminal.note)), terminal);
}

export function finetuneJob(classifier: PreparedClassifier<FinetuneOptions>): TrainJob<FinetuneOptions> {
  const { prepared, images } = classifier;
  const warmupOf = (epochs: number) => warmupShare(epochs, loadRecipe('finetune', prepared.options.recipe));
  return {
    command: 'finetune',
    ...classifierJob(classifier),
    withEpochs: async (epochs) => finetuneJob(withEpochs(classifier, epochs, warmupOf)),
    summary: (plan) => [...classifierSummary(prepared, plan, images), describeRecipe(prepared.options)],
  };
}

/** What was given, then the recipe, then the defaults. */
function withRecipe(given: GivenFinetuneOptions, config: ModelConfig): FinetuneOptions {
  const recipe = given.recipe ?? recipeOf(config);
  const published = loadRecipe('finetune', recipe);
  const epochs = given.epochs ?? published.epochs;
  const warmupEpochs = warmupShare(epochs, published);
  return { ...finetuneDefaults, ...published, warmupEpochs, ...given, recipe };
}

function finetuneAugmentation(options: FinetuneOptions, config: ModelConfig): Augmentation {
  const { dropPath, mixup, cutmix, mixProb, mixSwitchProb, randAugment, randomErasing } = options;
  const { depth } = config;
  const isMixed = (mixup > 0 || cutmix > 0) && mixProb > 0;
  return {
    ...classifierAugmentation(options, config, 10),
    randAugment: randAugment === 'none' ? undefined : randAugment,
    erasing: randomErasing > 0 ? randomErasing : undefined,
    mix: isMixed ? { mixup, cutmix, probability: mixProb, switchProbability: mixSwitchProb } : undefined,
    // from 0 in the first block to the rate in the last
    dropPath:
      dropPath > 0
        ? Array.from({ length: depth }, (_, i) => (depth === 1 ? 0 : (dropPath * i) / (depth - 1)))
        : undefined,
  };
}

function describeRecipe(options: FinetuneOptions): string {
  const { recipe, epochs, warmupEpochs, layerDecay, dropPath, mixup, cutmix, smoothing } = options;
  return (
    `recipe ${recipe}: ${epochs} epochs, ${warmupEpochs} of warm-up, layer decay ${layerDecay}, drop path ${dropPath}, ` +
    `mixup ${mixup}, cutmix ${cutmix}, smoothing ${smoothing}, RandAugment ${options.randAugment}, ` +
    `random erasing ${options.randomErasing}`
  );
}
