/** How long and how fast a run learns where a person does not say: by the size of the model and of the folder. */
import { imageSize, type ModelConfig } from '../model/config.js';
import { encoderParameters } from '../model/parameters.js';
import {
  defaultWarmupEpochs,
  type PretrainOptions,
  pretrainDefaults,
  warmupShare,
} from '../train/options.js';
import { type RecordedSchedule, recordedSchedule } from '../train/recorded-run.js';
import { sizeOf } from '../util/shape.js';
import { loadRecipe, recipeNames } from './recipes.js';

/** What was given; a recipe says the rest. */
export type GivenPretrainOptions = Omit<PretrainOptions, RecipeOption> &
  Partial<Pick<PretrainOptions, RecipeOption>>;
type RecipeOption = 'epochs' | 'warmupEpochs' | 'blr' | 'cropScale';

/** The files of `models/recipes/pretrain/` hold these fields. */
export interface PretrainRecipe {
  /** `auto` takes it for models whose encoder has fewer parameters. */
  readonly encoderParametersBelow: number;
  /** By the images of the folder. */
  readonly epochs: readonly { readonly images: number; readonly epochs: number }[];
  /** Warm-up as a share of the epochs. */
  readonly warmupShare: number;
  /** The learning rate itself, by the effective batch size. */
  readonly lr: readonly { readonly batch: number; readonly lr: number }[];
  /** Smallest share of a picture that a crop has, by the shorter side of the input: a small crop of few pixels is a blur. */
  readonly cropScale: readonly { readonly side: number; readonly scale: number }[];
}

/** The paper's, which is no file: `pretrainDefaults`. */
const published = 'published';

/** What `--recipe` takes. */
export function pretrainRecipes(): string[] {
  return ['auto', published, ...recipeNames('pretrain')];
}

/** The recipe that `auto` stands for: that of the smallest bound which the encoder stays below, else the paper's. */
export function autoRecipe(config: ModelConfig): string {
  const size = encoderParameters(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return (
    recipeNames('pretrain')
      .map((name) => ({ name, below: loadRecipe<PretrainRecipe>('pretrain', name).encoderParametersBelow }))
      .filter(({ below }) => size < below)
      .sort((a, b) => a.below - b.below)[0]?.name ?? published
  );
}

/** The value at x of a table: a straight line of both logarithms between its rows, those of the ends outside them. */
export function between(rows: readonly (readonly [x: number, value: number])[], x: number): number {
  const after = rows.findIndex(([there]) => x <= there);
  if (after === 0) return rows[0]![1];
  if (after < 0) return rows.at(-1)![1];
  const [[x0, v0], [x1, v1]] = [rows[after - 1]!, rows[after]!];
  return v0 * (v1 / v0) ** (Math.log(x / x0) / Math.log(x1 / x0));
}

/** Options with a schedule, and what a person should know of where it comes from. */
export interface Scheduled {
  readonly options: PretrainOptions;
  readonly recipeLine: string | undefined;
}

/**
 * The options with what was not given: of the run that would go on, else of the recipe.
 *
 * @param countImages is called where the folder's size decides
 */
export async function withRecipe(
  given: GivenPretrainOptions,
  config: ModelConfig,
  countImages: () => Promise<number>,
): Promise<Scheduled> {
  const recorded = await recordedSchedule(given);
  const asked = given.recipe ?? 'auto';
  if (recorded !== undefined && (asked === 'auto' || asked === (recorded.recipe ?? published))) {
    return asRecorded(given, recorded);
  }
  const recipe = asked === 'auto' ? autoRecipe(config) : asked;
  const schedule =
    recipe === published ? publishedSchedule(given) : await scheduleOf(recipe, given, config, countImages);
  return {
    options: { ...given, ...schedule, recipe },
    recipeLine: lineOf(`recipe ${recipe}`, given, schedule),
  };
}

type Schedule = Omit<RecordedSchedule, 'recipe'>;

function publishedSchedule({ epochs, warmupEpochs, blr, lr, cropScale }: GivenPretrainOptions): Schedule {
  const all = epochs ?? pretrainDefaults.epochs;
  return {
    epochs: all,
    warmupEpochs: warmupEpochs ?? defaultWarmupEpochs(all),
    blr: blr ?? pretrainDefaults.blr,
    cropScale: cropScale ?? pretrainDefaults.cropScale,
    ...(lr !== undefined && { lr }),
  };
}

async function scheduleOf(
  name: string,
  given: GivenPretrainOptions,
  config: ModelConfig,
  countImages: () => Promise<number>,
): Promise<Schedule> {
  const recipe = loadRecipe<PretrainRecipe>('pretrain', name);
  const epochs =
    given.epochs ??
    Math.round(
      between(
        recipe.epochs.map((row) => [row.images, row.epochs]),
        await countImages(),
      ),
    );
  const byBatch = recipe.lr.map((row) => [row.batch, row.lr] as const);
  const bySide = recipe.cropScale.map((row) => [row.side, row.scale] as const);
  const { height, width } = imageSize(config);
  const lr =
    given.lr ??
    (given.blr === undefined ? rounded(between(byBatch, given.batchSize * given.accumIter)) : undefined);
  return {
    epochs,
    warmupEpochs: given.warmupEpochs ?? warmupOf(name, epochs),
    blr: given.blr ?? pretrainDefaults.blr, // not used where there is a rate itself
    cropScale: given.cropScale ?? rounded(between(bySide, Math.min(height, width))),
    ...(lr !== undefined && { lr }),
  };
}

/** The warm-up of a recipe, as the share of its epochs. */
export function warmupOf(name: string | undefined, epochs: number): number {
  if (name === undefined || name === published) return rounded(warmupShare(epochs, pretrainDefaults));
  return rounded(epochs * loadRecipe<PretrainRecipe>('pretrain', name).warmupShare);
}

/** A number for people, of which three digits decide nothing. */
const rounded = (value: number): number => Number(value.toPrecision(3));

/** A run keeps what it began with, whatever the recipe says today. */
function asRecorded(given: GivenPretrainOptions, recorded: RecordedSchedule): Scheduled {
  const { lr: recordedLr, recipe, ...rest } = recorded;
  const { recipe: _, ...others } = given;
  const lr = given.lr ?? (given.blr === undefined ? recordedLr : undefined);
  const schedule = {
    epochs: given.epochs ?? rest.epochs,
    warmupEpochs: given.warmupEpochs ?? rest.warmupEpochs,
    blr: given.blr ?? rest.blr,
    cropScale: given.cropScale ?? rest.cropScale,
    ...(lr !== undefined && { lr }),
  };
  return {
    options: { ...others, ...schedule, ...(recipe !== undefined && { recipe }) },
    recipeLine: lineOf('as the run began', given, schedule),
  };
}

/** What was not given, in a line; undefined where all was. */
function lineOf(source: string, given: GivenPretrainOptions, schedule: Schedule): string | undefined {
  const { epochs, warmupEpochs, blr, lr, cropScale } = schedule;
  const isRateGiven = given.lr !== undefined || given.blr !== undefined;
  const chosen = [
    ...(isRateGiven ? [] : [lr === undefined ? `blr ${blr}` : `lr ${lr}`]),
    ...(given.epochs === undefined ? [`${epochs} epochs`] : []),
    ...(given.warmupEpochs === undefined ? [`${warmupEpochs} epochs of warm-up`] : []),
    ...(given.cropScale === undefined && cropScale !== pretrainDefaults.cropScale
      ? [`crops from ${100 * cropScale} % on`]
      : []),
  ];
  return chosen.length === 0 ? undefined : `${source}: ${chosen.join(', ')}`;
}
