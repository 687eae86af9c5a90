import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { exifRotationDefault } from '../data/decode/orientation.js';
import type { ImageSource } from '../data/sources/source.js';
import type { ModelConfig } from '../model/config.js';
import { camelCase, kebabCase } from '../util/case.js';
import { codeOf, messageOf, UserError } from '../util/errors.js';
import { writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import { latestCheckpoint, resolveCheckpoint, runPaths } from '../weights/checkpoint/run-directory.js';
import { logHasSteps } from './log-file.js';
import { changesResult, type PretrainOptions } from './options.js';

/** `config.json` of a run: every resolved option and version. */
export interface RunConfig {
  readonly mae: string;
  readonly node: string;
  readonly onnxruntime: string;
  /** Keys are flags, in kebab-case: the file is a valid `--config`. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly model: ModelConfig;
  readonly dataset: { readonly images: number; readonly fingerprint: string };
}

export function describeRun(
  options: PretrainOptions,
  model: ModelConfig,
  { length, fingerprint }: Pick<ImageSource, 'length' | 'fingerprint'>,
  versions: { mae: string; onnxruntime: string },
): RunConfig {
  const flags = Object.entries(options).map(([field, value]) => [
    kebabCase(field),
    withFullPath(field, value),
  ]);
  const dataset = { images: length, fingerprint };
  return { ...versions, node: process.version, options: Object.fromEntries(flags), model, dataset };
}

/** A path as it is from every folder: `--config` of the file is then the same run, wherever it is given. */
function withFullPath(field: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const isPath =
    ['dataPath', 'outputDir', 'valPath', 'init'].includes(field) ||
    (field === 'model' && value.endsWith('.json')) ||
    (field === 'resume' && value !== 'auto' && value !== 'never');
  return isPath ? resolve(value) : value;
}

/** The checkpoint that a run goes on from, or undefined for a new run. */
export async function findResume(
  config: RunConfig,
  { outputDir, resume }: PretrainOptions,
): Promise<string | undefined> {
  const existing = await readRunConfig(outputDir);
  const latest = await latestCheckpoint(outputDir);
  // a run that failed before its first step, for a mistyped path perhaps, does not claim the directory for good
  const hasRun = latest !== undefined || (await logHasSteps(runPaths(outputDir).log));
  if (existing !== undefined && hasRun) {
    const differences = compareRuns(existing, config);
    if (differences.length > 0) {
      throw new UserError(
        `${outputDir} holds a different run (${differences.join('; ')}); give the same options to continue it, ` +
          'or another --output-dir',
      );
    }
  } else if (existing === undefined && latest !== undefined) {
    throw new UserError(
      `${outputDir} holds checkpoints but no config.json to tell of which run; give another --output-dir`,
    );
  }
  if (resume === 'auto') return latest?.folder;
  if (resume === 'never') {
    if (latest === undefined) return undefined;
    throw new UserError(
      `--resume never: expected an --output-dir without a run, got ${outputDir} at step ${latest.step}; ` +
        'give another one, or let it continue with --resume auto',
    );
  }
  const { folder } = await resolveCheckpoint(resume);
  if (folder === undefined) {
    throw new UserError(
      `--resume: expected a run or a checkpoint folder with the optimizer's state, got ${resume}; ` +
        'to start from weights alone use --init',
    );
  }
  const origin = await readRunConfig(join(folder, '..', '..'));
  const differences = origin === undefined ? [] : compareRuns(origin, config);
  if (differences.length > 0) {
    throw new UserError(`--resume ${resume}: that run is a different one (${differences.join('; ')})`);
  }
  return folder;
}

/** The options of the run that would go on, by flag, if there is one. */
async function recordedOptions({
  outputDir,
  resume = 'auto',
}: Partial<Pick<PretrainOptions, 'outputDir' | 'resume'>>): Promise<RunConfig['options'] | undefined> {
  if (outputDir === undefined) return undefined;
  let run: string | undefined;
  if (resume !== 'auto' && resume !== 'never') {
    const { folder } = await resolveCheckpoint(resume);
    run = folder && join(folder, '..', '..');
  } else if ((await latestCheckpoint(outputDir)) ?? (await logHasSteps(runPaths(outputDir).log)))
    run = outputDir;
  return run === undefined ? undefined : (await readRunConfig(run))?.options;
}

/**
 * How the run that would go on divides its effective batch, if there is one: `--auto-batch` keeps to that, for another
 * division is another run.
 */
export async function recordedBatch(
  place: Partial<Pick<PretrainOptions, 'outputDir' | 'resume'>>,
): Promise<{ batchSize: number; accumIter: number } | undefined> {
  const options = await recordedOptions(place);
  const [batchSize, accumIter] = [options?.['batch-size'], options?.['accum-iter']];
  return typeof batchSize === 'number' && typeof accumIter === 'number'
    ? { batchSize, accumIter }
    : undefined;
}

/** The options with `exifRotation` decided: as given, else as the run that would go on has it, else on. */
export async function resolveExifRotation<O extends Partial<PretrainOptions>>(
  options: O,
): Promise<O & { exifRotation: boolean }> {
  const { exifRotation } = options;
  if (exifRotation !== undefined) return { ...options, exifRotation };
  const recorded = await recordedOptions(options);
  if (recorded === undefined) return { ...options, exifRotation: exifRotationDefault };
  return { ...options, exifRotation: { ...earlierOptions, ...recorded }['exif-rotation'] === true };
}

const table = Object.entries(changesResult).map(([field, changes]) => [kebabCase(field), changes] as const);
const free = new Set(table.filter(([, changes]) => changes === false).map(([name]) => name));
const earlierOptions: Readonly<Record<string, unknown>> = Object.fromEntries(
  table.flatMap(([name, changes]) => (typeof changes === 'object' ? [[name, changes.earlier]] : [])),
);

/** What differs between two runs that changes what they compute, as `batch-size 64 there, 32 here`. */
function compareRuns(there: RunConfig, here: RunConfig): string[] {
  const earlier = { ...earlierOptions, ...there.options };
  const names = new Set([...Object.keys(earlier), ...Object.keys(here.options)]);
  // earlier versions recorded paths as they were given
  const entries: [string, unknown, unknown][] = [...names]
    .filter((name) => !free.has(name))
    .map((name) => [name, withFullPath(camelCase(name), earlier[name]), here.options[name]]);
  for (const field of Object.keys(here.model) as (keyof ModelConfig)[]) {
    entries.push([`model ${field}`, there.model[field], here.model[field]]);
  }
  entries.push(['images', there.dataset.images, here.dataset.images]);
  entries.push(['file names', there.dataset.fingerprint.slice(0, 8), here.dataset.fingerprint.slice(0, 8)]);
  return entries
    .filter(([, a, b]) => JSON.stringify(a) !== JSON.stringify(b))
    .map(([name, a, b]) => `${name} ${a ?? 'not given'} there, ${b ?? 'not given'} here`);
}

async function readRunConfig(run: string): Promise<RunConfig | undefined> {
  const { config: path } = runPaths(run);
  try {
    const config = JSON.parse(await readFile(path, 'utf8')) as RunConfig;
    if (typeof config.options === 'object' && typeof config.model === 'object' && config.dataset)
      return config;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    throw new UserError(
      `${path}: expected the config.json of a run, got ${messageOf(error)}; give another --output-dir`,
    );
  }
  throw new UserError(`${path}: expected the config.json of a run of mae; give another --output-dir`);
}

export function writeRunConfig(run: string, config: RunConfig): Promise<void> {
  return writeJsonAtomically(runPaths(resolve(run)).config, config);
}
