/** The run that goes on, as its directory tells of it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { exifRotationDefault } from '../data/decode/orientation.js';
import { shellWord } from '../util/shell-word.js';
import { resolveCheckpoint } from '../weights/checkpoint/resolve-checkpoint.js';
import { checkpointsOf, runPaths } from '../weights/checkpoint/run-directory.js';
import { logHasSteps } from './log-file.js';
import type { PretrainOptions, TrainOptions } from './options.js';
import {
  commandOf,
  earlierOptions,
  isPath,
  type RunConfig,
  readRunConfig,
  TornConfig,
} from './run-config.js';

/** The command that starts another run: from the weights of this one, where it has some that fit. */
export function anotherRun(
  { folder, hasCheckpoint }: Pick<RecordedRun, 'folder' | 'hasCheckpoint'>,
  { outputDir, resume }: Pick<TrainOptions, 'outputDir' | 'resume'>,
): string {
  const name = outputDir.replace(/[/\\]+$/, '');
  let number = 2;
  while (existsSync(`${name}-${number}`)) number++;
  const flags = [
    ...(hasCheckpoint ? [`--init ${shellWord(folder)}`] : []),
    `--output-dir ${shellWord(`${name}-${number}`)}`,
    ...(isPath(resume) ? ['--resume auto'] : []),
  ];
  return `start another run${hasCheckpoint ? ' from its weights' : ''}: the same command with ${flags.join(' ')}`;
}

export interface RecordedRun {
  readonly folder: string;
  readonly config: RunConfig;
  readonly hasCheckpoint: boolean;
}

/** The run that would go on, if there is one: that of the output directory, or the one that `--resume` names. */
export async function runToContinue({
  outputDir,
  resume = 'auto',
}: Partial<Pick<TrainOptions, 'outputDir' | 'resume'>>): Promise<RecordedRun | undefined> {
  if (outputDir === undefined) return undefined;
  let found: { folder: string; hasCheckpoint: boolean } | undefined;
  if (isPath(resume)) {
    const { folder } = await resolveCheckpoint(resume);
    found = folder === undefined ? undefined : { folder: join(folder, '..', '..'), hasCheckpoint: true };
  } else {
    const hasCheckpoint = (await checkpointsOf(outputDir)).length > 0;
    if (hasCheckpoint || (await logHasSteps(runPaths(outputDir).log))) {
      found = { folder: outputDir, hasCheckpoint };
    }
  }
  const config =
    found &&
    (await readRunConfig(found.folder).catch((error) => {
      if (!isPath(resume) || !(error instanceof TornConfig)) throw error;
      return undefined; // `findResume` says so
    }));
  return found && config && { ...found, config };
}

/**
 * How the run that would go on divides its effective batch, if there is one: `--auto-batch` keeps to that, for another
 * division is another run.
 */
export async function recordedBatch(
  options: Partial<Pick<TrainOptions, 'outputDir' | 'resume'>>,
): Promise<{ batchSize: number; accumIter: number } | undefined> {
  const recorded = (await runToContinue(options))?.config.options;
  const [batchSize, accumIter] = [recorded?.['batch-size'], recorded?.['accum-iter']];
  return typeof batchSize === 'number' && typeof accumIter === 'number'
    ? { batchSize, accumIter }
    : undefined;
}

/** The recorded options that decide how long a run of pretraining learns, and how fast. */
export type RecordedSchedule = Pick<
  PretrainOptions,
  'epochs' | 'warmupEpochs' | 'blr' | 'lr' | 'cropScale' | 'recipe'
>;

/** Those of the run that would go on, if there is one. */
export async function recordedSchedule(
  options: Partial<Pick<TrainOptions, 'outputDir' | 'resume'>>,
): Promise<RecordedSchedule | undefined> {
  const config = (await runToContinue(options))?.config;
  if (config === undefined || commandOf(config) !== 'pretrain') return undefined;
  const all = { ...earlierOptions('pretrain'), ...config.options };
  const { epochs, 'warmup-epochs': warmupEpochs, blr, lr, 'crop-scale': cropScale, recipe } = all;
  return {
    epochs,
    warmupEpochs,
    blr,
    cropScale,
    ...(lr !== undefined && { lr }),
    ...(recipe !== undefined && { recipe }),
  } as RecordedSchedule;
}

/** The options with `exifRotation` decided: as given, else as the run that would go on has it, else on. */
export async function resolveExifRotation<O extends Partial<TrainOptions>>(
  options: O,
): Promise<O & { exifRotation: boolean }> {
  const { exifRotation } = options;
  if (exifRotation !== undefined) return { ...options, exifRotation };
  const recorded = (await runToContinue(options))?.config;
  if (recorded === undefined) return { ...options, exifRotation: exifRotationDefault };
  const all = { ...earlierOptions(commandOf(recorded)), ...recorded.options };
  return { ...options, exifRotation: all['exif-rotation'] === true };
}
