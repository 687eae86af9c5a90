import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { exifRotationDefault } from '../data/decode/orientation.js';
import type { ImageSource } from '../data/sources/source.js';
import type { ModelConfig } from '../model/config.js';
import { camelCase, kebabCase } from '../util/case.js';
import { codeOf, messageOf, UserError } from '../util/errors.js';
import { explained } from '../util/system-errors.js';
import { allCheckpointFiles } from '../weights/checkpoint/checkpoint-files.js';
import { writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import { resolveCheckpoint } from '../weights/checkpoint/resolve-checkpoint.js';
import { checkpointsOf, runPaths } from '../weights/checkpoint/run-directory.js';
import { resolveWholeCheckpoint, wholeCheckpoint } from '../weights/checkpoint/whole-checkpoint.js';
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
  const isFile =
    ['dataPath', 'outputDir', 'valPath', 'init'].includes(field) ||
    (field === 'model' && value.endsWith('.json')) ||
    (field === 'resume' && isPath(value));
  return isFile ? resolve(value) : value;
}

/**
 * The checkpoint that a run goes on from, or undefined for a new run.
 *
 * @param note is told of damaged ones that are passed over
 */
export async function findResume(
  config: RunConfig,
  { outputDir, resume }: PretrainOptions,
  note: (line: string) => void,
): Promise<string | undefined> {
  const read = (run: string) =>
    readRunConfig(run).catch((error) => {
      if (!isPath(resume) || !(error instanceof TornConfig)) throw error;
      note(`${runPaths(run).config} is torn: whether that run has the same options is not known`);
      return undefined;
    });
  const existing = await read(outputDir);
  const [latest] = await checkpointsOf(outputDir);
  // a run that failed before its first step, for a mistyped path perhaps, does not claim the directory for good
  const hasRun = latest !== undefined || (await logHasSteps(runPaths(outputDir).log));
  if (existing !== undefined && hasRun) {
    const differences = compareRuns(existing, config);
    if (differences.length > 0) {
      throw new UserError(
        `${outputDir} holds a different run (${differences.join('; ')}); give the same options to continue it, or ` +
          anotherRun(
            { folder: outputDir, hasCheckpoint: latest !== undefined && fits(existing, config) },
            { outputDir, resume },
          ),
      );
    }
  } else if (existing === undefined && latest !== undefined && !isPath(resume)) {
    throw new UserError(
      `${outputDir} holds checkpoints but no config.json to tell of which run; give another --output-dir, ` +
        unchecked(outputDir),
    );
  }
  if (resume === 'auto') return (await wholeCheckpoint(outputDir, allCheckpointFiles, note))?.folder;
  if (resume === 'never') {
    if (latest === undefined) return undefined;
    throw new UserError(
      `--resume never: expected an --output-dir without a run, got ${outputDir} at step ${latest.step}; ` +
        'give another one, or let it continue with --resume auto',
    );
  }
  const { folder } = await resolveWholeCheckpoint(resume, allCheckpointFiles, note);
  if (folder === undefined) {
    throw new UserError(
      `--resume: expected a run or a checkpoint folder with the optimizer's state, got ${resume}; ` +
        'to start from weights alone use --init',
    );
  }
  const origin = await read(join(folder, '..', '..'));
  const differences = origin === undefined ? [] : compareRuns(origin, config);
  if (differences.length > 0) {
    throw new UserError(
      `--resume ${resume}: that run is a different one (${differences.join('; ')}); give the same options to continue ` +
        `it, or ${anotherRun({ folder: resume, hasCheckpoint: fits(origin!, config) }, { outputDir, resume })}`,
    );
  }
  return folder;
}

/** Whether one run's weights are those that another can start from. */
const fits = (there: RunConfig, here: RunConfig) =>
  Object.entries(here.model).every(
    ([field, value]) =>
      field === 'inputSize' ||
      JSON.stringify(there.model[field as keyof ModelConfig]) === JSON.stringify(value),
  );

/** A word for a shell. */
const quoted = (word: string) =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The command that starts another run: from the weights of this one, where it has some that fit. */
export function anotherRun(
  { folder, hasCheckpoint }: Pick<RecordedRun, 'folder' | 'hasCheckpoint'>,
  { outputDir, resume }: Pick<PretrainOptions, 'outputDir' | 'resume'>,
): string {
  const name = outputDir.replace(/[/\\]+$/, '');
  let number = 2;
  while (existsSync(`${name}-${number}`)) number++;
  const flags = [
    ...(hasCheckpoint ? [`--init ${quoted(folder)}`] : []),
    `--output-dir ${quoted(`${name}-${number}`)}`,
    ...(isPath(resume) ? ['--resume auto'] : []),
  ];
  return `start another run${hasCheckpoint ? ' from its weights' : ''}: the same command with ${flags.join(' ')}`;
}

const isPath = (resume: string) => resume !== 'auto' && resume !== 'never';

export interface RecordedRun {
  readonly folder: string;
  readonly config: RunConfig;
  readonly hasCheckpoint: boolean;
}

/** The run that would go on, if there is one: that of the output directory, or the one that `--resume` names. */
export async function runToContinue({
  outputDir,
  resume = 'auto',
}: Partial<Pick<PretrainOptions, 'outputDir' | 'resume'>>): Promise<RecordedRun | undefined> {
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
  options: Partial<Pick<PretrainOptions, 'outputDir' | 'resume'>>,
): Promise<{ batchSize: number; accumIter: number } | undefined> {
  const recorded = (await runToContinue(options))?.config.options;
  const [batchSize, accumIter] = [recorded?.['batch-size'], recorded?.['accum-iter']];
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
  const recorded = (await runToContinue(options))?.config.options;
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

/** A config.json that is no JSON: a person may go on without it, by naming what to resume from. */
class TornConfig extends UserError {}

function unchecked(run: string): string {
  return `or the options of that run and --resume ${run} to go on with it unchecked`;
}

async function readRunConfig(run: string): Promise<RunConfig | undefined> {
  const { config: path } = runPaths(run);
  try {
    const config = JSON.parse(await readFile(path, 'utf8')) as RunConfig;
    if (typeof config.options === 'object' && typeof config.model === 'object' && config.dataset)
      return config;
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined;
    if (!(error instanceof SyntaxError)) throw explained(error, 'run', `to read ${path}`);
    throw new TornConfig(
      `${path}: expected the config.json of a run, got ${messageOf(error)}; give another --output-dir, ` +
        unchecked(run),
    );
  }
  throw new UserError(`${path}: expected the config.json of a run of mae; give another --output-dir`);
}

export function writeRunConfig(run: string, config: RunConfig): Promise<void> {
  return writeJsonAtomically(runPaths(resolve(run)).config, config);
}
