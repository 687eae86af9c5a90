import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ImageSource } from '../data/sources/source.js';
import type { ModelConfig } from '../model/config.js';
import { camelCase, kebabCase } from '../util/case.js';
import { codeOf, messageOf, UserError } from '../util/errors.js';
import { explained } from '../util/system-errors.js';
import { writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { changesResult, type TrainCommand } from './changes-result.js';
import type { TrainOptions } from './options.js';

/** `config.json` of a run: every resolved option and version. */
export interface RunConfig {
  /** The command of the run; `pretrain` where not given. */
  readonly command?: TrainCommand;
  readonly mae: string;
  readonly node: string;
  readonly onnxruntime: string;
  /** Keys are flags, in kebab-case: the file is a valid `--config`. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Seconds that decided epochs and warm-up, which are among the options. */
  readonly timeBudget?: number;
  readonly model: ModelConfig;
  readonly dataset: { readonly images: number; readonly fingerprint: string };
}

export function describeRun(
  options: TrainOptions,
  model: ModelConfig,
  { length, fingerprint }: Pick<ImageSource, 'length' | 'fingerprint'>,
  versions: { mae: string; onnxruntime: string },
  command: TrainCommand = 'pretrain',
): RunConfig {
  const { timeBudget, ...others } = options;
  const flags = Object.entries(others).map(([field, value]) => [
    kebabCase(field),
    withFullPath(field, value),
  ]);
  const dataset = { images: length, fingerprint };
  const time = timeBudget !== undefined && { timeBudget };
  const run = {
    ...versions,
    node: process.version,
    options: Object.fromEntries(flags),
    ...time,
    model,
    dataset,
  };
  return command === 'pretrain' ? run : { command, ...run };
}

export const commandOf = ({ command = 'pretrain' }: Pick<RunConfig, 'command'>): TrainCommand => command;

/** A path as it is from every folder: `--config` of the file is then the same run, wherever it is given. */
function withFullPath(field: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const isFile =
    ['dataPath', 'outputDir', 'valPath', 'probePath', 'probeValPath', 'init', 'checkpoint'].includes(field) ||
    (field === 'model' && value.endsWith('.json')) ||
    (field === 'resume' && isPath(value));
  return isFile ? resolve(value) : value;
}

/** Whether `--resume` names a checkpoint. */
export const isPath = (resume: string) => resume !== 'auto' && resume !== 'never';

/** Whether one run's weights are those that another can start from by --init. */
export const fits = (there: RunConfig, here: RunConfig) =>
  [there, here].every((run) => commandOf(run) === 'pretrain') &&
  Object.entries(here.model).every(
    ([field, value]) =>
      field === 'inputSize' ||
      JSON.stringify(there.model[field as keyof ModelConfig]) === JSON.stringify(value),
  );

/** The options that a resumed run may have otherwise, by flag name. */
function freeOptions(command: TrainCommand): Set<string> {
  const table = Object.entries(changesResult[command]);
  return new Set(table.filter(([, changes]) => changes === false).map(([field]) => kebabCase(field)));
}

/** What runs from before an option was there computed, by flag name. */
export function earlierOptions(command: TrainCommand): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(changesResult[command]).flatMap(([field, changes]) =>
      typeof changes === 'object' ? [[kebabCase(field), changes.earlier]] : [],
    ),
  );
}

/** What differs between two runs that changes what they compute, as `batch-size 64 there, 32 here`. */
export function compareRuns(there: RunConfig, here: RunConfig): string[] {
  const command = commandOf(here);
  if (commandOf(there) !== command) return [`mae ${commandOf(there)} there, mae ${command} here`];
  const free = freeOptions(command);
  const earlier = { ...earlierOptions(command), ...there.options };
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
export class TornConfig extends UserError {}

export function unchecked(run: string): string {
  return `or the options of that run and --resume ${run} to go on with it unchecked`;
}

export async function readRunConfig(run: string): Promise<RunConfig | undefined> {
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
