/** Whether a file or folder may be written where a person said: before any work is done. */
import { type BigIntStats, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf, UserError } from '../util/errors.js';
import { kindOf } from '../util/regular-file.js';
import { explained } from '../util/system-errors.js';
import { checkpointFiles, digestsFile } from '../weights/checkpoint/checkpoint-files.js';
import { resolveCheckpoint } from '../weights/checkpoint/resolve-checkpoint.js';
import { checkpointName } from '../weights/checkpoint/run-directory.js';

/** A UserError where a file cannot be written, would replace one of `inputs`, or is a run's own. */
export function checkOutputFile(path: string, inputs: readonly string[]): void {
  const found = statOf(path);
  if (found !== undefined && !found.isFile()) {
    throw refused(path, 'a file', kindOf(found), 'give the path of a file');
  }
  for (const input of inputs) {
    const other = statOf(input);
    if (found !== undefined && other?.ino === found.ino && other.dev === found.dev) {
      throw refused(path, 'a file that is not read', `${input}, which is`, 'choose another path');
    }
  }
  const place = real(path);
  const folder = dirname(place);
  const isOwnOfRun = isRun(folder) && isRunFile(basename(place));
  if (isOwnOfRun || (isCheckpoint(folder) && isCheckpointFile(basename(place)))) {
    throw refused(path, 'a file of your own', `one that ${folder} needs`, 'choose another path');
  }
  checkAround(path, folder);
}

/** A UserError where a folder cannot be written into, or is a run's. */
export function checkOutputFolder(path: string): void {
  checkCanBeFolder(path);
  const place = real(path);
  if (isRun(place)) throw refused(path, 'a folder of its own', 'a run directory', 'choose another folder');
  if (isCheckpoint(place))
    throw refused(path, 'a folder of its own', 'a checkpoint', 'choose another folder');
  checkAround(path, place);
}

/** A UserError where something else than a folder is at a path or above it. */
function checkCanBeFolder(path: string): void {
  for (let place = resolve(path); ; place = dirname(place)) {
    const found = statOf(place);
    if (found?.isDirectory() || place === dirname(place)) return;
    if (found === undefined) continue;
    const got = place === resolve(path) ? kindOf(found) : `${kindOf(found)} at ${place}`;
    throw refused(path, 'a folder', got, 'give the path of a folder');
  }
}

/** A UserError where no run can be: in a checkpoint, or in what another run removes. */
export function checkRunFolder(path: string): void {
  checkCanBeFolder(path);
  const place = real(path);
  if (isCheckpoint(place))
    throw refused(path, 'a run directory', 'a checkpoint', 'give the run, or another folder');
  checkAround(path, place);
}

/** Nothing but a run writes into these: it removes what is old there, or writes over it. */
export const foldersOfRun = ['artifacts', 'checkpoints', 'pictures', 'tensorboard'];

function checkAround(path: string, folder: string): void {
  for (let inner = folder; dirname(inner) !== inner; inner = dirname(inner)) {
    if (foldersOfRun.includes(basename(inner)) && isRun(dirname(inner))) {
      throw refused(path, 'a place of its own', `one in ${inner} of a run`, 'choose another path');
    }
  }
}

/** The files that a checkpoint given by a person is read from, of those that are there. */
export async function filesOfCheckpoint(given: string): Promise<string[]> {
  const { modelPath, configPath } = await resolveCheckpoint(given);
  const folder = dirname(modelPath);
  const isIndex = modelPath.endsWith('.index.json');
  const shards = isIndex ? readdirSync(folder).filter((name) => name.endsWith('.safetensors')) : [];
  return [
    modelPath,
    ...(configPath === undefined ? [] : [configPath]),
    ...shards.map((name) => join(folder, name)),
  ];
}

export function isRun(folder: string): boolean {
  const config = readJson(join(folder, 'config.json'));
  if (['options', 'model', 'dataset'].every((field) => field in config)) return true;
  const checkpoints = join(folder, 'checkpoints');
  return (
    statOf(checkpoints)?.isDirectory() === true &&
    readdirSync(checkpoints).some((name) => checkpointName.test(name))
  );
}

function isRunFile(name: string): boolean {
  return /^(config\.json|log\.jsonl|lock|lock\..*|images\..*|bad-batch-.*\.txt|artifacts|checkpoints|pictures|tensorboard)$/.test(
    name,
  );
}

function isCheckpoint(folder: string): boolean {
  return readJson(join(folder, checkpointFiles.state))['format'] === 'mae-state';
}

function isCheckpointFile(name: string): boolean {
  return name === digestsFile || Object.values<string>(checkpointFiles).includes(name);
}

/** The fields of an object in a small JSON file; none where there is no such file. */
export function readJson(path: string): Readonly<Record<string, unknown>> {
  try {
    const found = statSync(path);
    if (!found.isFile() || found.size > 2 ** 24) return {};
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** Whether a file is at a path. */
export function hasFile(path: string): boolean {
  return statOf(path)?.isFile() ?? false;
}

/** The numbers of a file with all their digits; undefined where nothing is. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    if (codeOf(error) === 'ENOTDIR') return undefined;
    throw explained(error, 'output', `to write ${path}`);
  }
}

/** A path without links, as far as it is there. */
export function real(path: string): string {
  const whole = resolve(path);
  try {
    return realpathSync(whole);
  } catch {
    return dirname(whole) === whole ? whole : join(real(dirname(whole)), basename(whole));
  }
}

export function refused(path: string, expected: string, got: string, remedy: string): UserError {
  return new UserError(`output: expected ${expected} at ${path}, got ${got}; ${remedy}`);
}
