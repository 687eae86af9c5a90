/**
 * A run directory:
 *
 *   config.json, log.jsonl, lock, artifacts/
 *   images.list           the paths of its images below the data folder in their order, each ended by a zero byte
 *   tensorboard/          event files, made of log.jsonl
 *   pictures/             sheets of reconstructions, epoch-<N>.png, and pictures.json, what they show
 *   checkpoints/step-<N>/{model.safetensors, optimizer.safetensors, state.json, SHA256SUMS}
 *   checkpoints/latest    one line: the name of the last whole checkpoint
 *   checkpoints/best…     the same of the best one, where the run keeps it: see `bestNames`
 *
 * A step-<N> folder appears by one rename, when all of it is on the disk; what is not whole is called .tmp-….
 */
import { copyFile, link, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { codeOf, UserError } from '../../util/errors.js';
import { makeFolder } from '../../util/make-folder.js';
import { diskCodeOf, explained, remedyOf } from '../../util/system-errors.js';
import { allCheckpointFiles, digestsFile } from './checkpoint-files.js';
import { writeDigests } from './digests.js';
import {
  folderBytes,
  formatBytes,
  freeBytes,
  isFile,
  syncFilesOf,
  syncFolder,
  writeTextAtomically,
} from './durable-files.js';

export function runPaths(run: string) {
  return {
    config: join(run, 'config.json'),
    images: join(run, 'images.list'),
    log: join(run, 'log.jsonl'),
    lock: join(run, 'lock'),
    artifacts: join(run, 'artifacts'),
    tensorboard: join(run, 'tensorboard'),
    pictures: join(run, 'pictures'),
    checkpoints: join(run, 'checkpoints'),
    latest: join(run, 'checkpoints', 'latest'),
  };
}

/** Files that name the best checkpoint of a run: of a classifier, by a probe, by the loss of validation. */
export const bestNames = ['best', 'best-probe', 'best-val'] as const;
export type BestName = (typeof bestNames)[number];

export interface Checkpoint {
  readonly folder: string;
  readonly step: number;
}

/**
 * Saves step `step`: `write` puts the files into the folder it is given. When this returns the checkpoint is
 * durable, `latest` names it, and of the steps up to it the newest `keep` are left. Later steps, of a run that
 * was since resumed from before them, stay until they are written again. A failure leaves the older
 * checkpoints as they were. Returns the folder of the new one.
 *
 * @param spared folders of older checkpoints that stay beside those
 */
export async function writeCheckpoint(
  run: string,
  step: number,
  write: (folder: string) => Promise<void>,
  keep: number,
  spared: readonly string[] = [],
): Promise<string> {
  const { checkpoints, latest } = runPaths(run);
  const name = `step-${step}`;
  const before = await latestCheckpoint(run);
  const temporary = join(checkpoints, `.tmp-${name}-${process.pid}`);
  try {
    makeFolder(checkpoints);
    await removeTemporaries(checkpoints); // those of killed processes may hold the space that is needed
    await mkdir(temporary);
    await write(temporary);
    if (!(await isWhole(temporary))) {
      throw new Error(`writeCheckpoint: ${allCheckpointFiles.join(', ')} were not all written`);
    }
    await writeDigests(temporary);
    await syncFilesOf(temporary);

    const folder = join(checkpoints, name);
    if (before?.folder === folder) await pointAtStandIn(checkpoints, name);
    await removeFolder(checkpoints, name);
    await rename(temporary, folder);
    await syncFolder(checkpoints);
    await writeTextAtomically(latest, `${name}\n`);
    await removeOld(checkpoints, step, keep, spared);
    return folder;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    const code = diskCodeOf(error);
    throw code === undefined
      ? explained(error, 'checkpoint', `to save ${name} in ${checkpoints}`)
      : await diskError(checkpoints, name, before, code, error);
  }
}

/**
 * Makes `latest` name a second set of links to the files of a folder, while the folder itself is replaced:
 * no file system can exchange two folders in a way that Node can ask for.
 */
async function pointAtStandIn(checkpoints: string, name: string): Promise<void> {
  const standIn = `.replaced-${name}`;
  await removeFolder(checkpoints, standIn);
  const temporary = join(checkpoints, `.tmp-${standIn}-${process.pid}`);
  await mkdir(temporary);
  for (const file of [...allCheckpointFiles, digestsFile]) {
    if (!(await isFile(join(checkpoints, name, file)))) continue;
    const [from, to] = [join(checkpoints, name, file), join(temporary, file)];
    await link(from, to).catch(() => copyFile(from, to)); // exFAT and some network disks have no links
  }
  await syncFilesOf(temporary);
  await rename(temporary, join(checkpoints, standIn));
  await syncFolder(checkpoints);
  await writeTextAtomically(join(checkpoints, 'latest'), `${standIn}\n`);
}

/** Removes a folder so that no part of it is ever seen under its name. */
async function removeFolder(checkpoints: string, name: string): Promise<void> {
  const doomed = join(checkpoints, `.tmp-removed-${name}-${process.pid}`);
  try {
    await rename(join(checkpoints, name), doomed);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  await rm(doomed, { recursive: true, force: true });
}

async function removeTemporaries(checkpoints: string): Promise<void> {
  for (const name of await readdir(checkpoints)) {
    if (name.startsWith('.tmp-')) await rm(join(checkpoints, name), { recursive: true, force: true });
  }
}

/** Makes one of these files name a checkpoint of the run. */
export function pointBestAt(run: string, best: BestName, folder: string): Promise<void> {
  return writeTextAtomically(join(runPaths(run).checkpoints, best), `${basename(folder)}\n`);
}

/** The checkpoint that one of these files names, if it has all its files. */
export async function bestCheckpoint(run: string, best: BestName): Promise<Checkpoint | undefined> {
  const { checkpoints } = runPaths(run);
  const name = (await readFile(join(checkpoints, best), 'utf8').catch(() => '')).trim();
  const match = checkpointName.exec(name);
  const folder = join(checkpoints, name);
  return match !== null && (await isWhole(folder)) ? { folder, step: Number(match[2]) } : undefined;
}

/** Makes `latest` name an older checkpoint of the run; later ones stay until they are written again. */
export async function pointLatestAt(run: string, folder: string): Promise<void> {
  const { checkpoints, latest } = runPaths(run);
  if (resolve(dirname(folder)) === resolve(checkpoints))
    await writeTextAtomically(latest, `${basename(folder)}\n`);
}

/** Leaves the newest `keep` checkpoints of the steps up to `step`, which `latest` names. */
export function removeOldCheckpoints(
  run: string,
  step: number,
  keep: number,
  spared: readonly string[] = [],
): Promise<void> {
  return removeOld(runPaths(run).checkpoints, step, keep, spared);
}

/** Called when `latest` names step `step`. */
async function removeOld(
  checkpoints: string,
  step: number,
  keep: number,
  spared: readonly string[],
): Promise<void> {
  const kept = new Set(spared.map((folder) => basename(folder)));
  const all = await checkpointNames(checkpoints);
  const steps = all.filter((checkpoint) => !checkpoint.standIn && checkpoint.step <= step);
  const old = steps.slice(Math.max(1, keep));
  for (const { name } of [...old, ...all.filter(({ standIn }) => standIn)]) {
    if (!kept.has(name)) await removeFolder(checkpoints, name);
  }
  await removeTemporaries(checkpoints);
}

async function diskError(
  checkpoints: string,
  name: string,
  before: Checkpoint | undefined,
  code: string,
  error: unknown,
): Promise<UserError> {
  const free = await freeBytes(checkpoints);
  const beforeBytes = before === undefined ? 0 : await folderBytes(before.folder);
  let needed = 'room';
  if (code === 'ENOSPC' && free !== undefined && free >= beforeBytes)
    needed = `more than ${formatBytes(free)}`;
  else if (before !== undefined)
    needed = `about ${formatBytes(beforeBytes)} (as ${basename(before.folder)} has)`;
  const remedy = ['ENOSPC', 'EDQUOT'].includes(code)
    ? 'free some space or keep fewer checkpoints'
    : (remedyOf(code) ?? 'check the disk');
  return new UserError(
    `checkpoint: expected ${needed} for ${name} in ${checkpoints}, got ${code} ` +
      `with ${free === undefined ? 'an unknown number of bytes' : formatBytes(free)} free; ${remedy}, ` +
      (before === undefined ? 'then start again' : `then resume: ${basename(before.folder)} is still whole`),
    { cause: error },
  );
}

/**
 * The checkpoint that `latest` names, if it has all its files; else the first of `checkpointsOf` that has. Undefined if
 * none has. No file is read.
 */
export async function latestCheckpoint(run: string): Promise<Checkpoint | undefined> {
  for (const checkpoint of await checkpointsOf(run)) if (await isWhole(checkpoint.folder)) return checkpoint;
  return undefined;
}

/**
 * The checkpoints of a run, whole or not, as one goes on from them: the one that `latest` names, those before it, and
 * those after it, of a run that was since resumed from before them; the newest first.
 */
export async function checkpointsOf(run: string): Promise<Checkpoint[]> {
  const { checkpoints, latest } = runPaths(run);
  try {
    const names = await checkpointNames(checkpoints);
    const named = (await readFile(latest, 'utf8').catch(() => '')).trim();
    const first = names.find(({ name }) => name === named);
    const isLater = ({ step }: { step: number }) => first !== undefined && step > first.step;
    const others = names.filter((one) => one !== first);
    const before = others.filter((one) => !isLater(one));
    return [...(first === undefined ? [] : [first]), ...before, ...others.filter(isLater)].map(
      ({ name, step }) => ({ folder: join(checkpoints, name), step }),
    );
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw explained(error, 'checkpoint', `to find the latest one in ${checkpoints}`);
  }
}

/** The name of a checkpoint's folder, with its step. */
export const checkpointName = /^(\.replaced-)?step-(0|[1-9]\d{0,14})$/;

/** Names in the folder that are those of checkpoints, the newest first, stand-ins last. */
async function checkpointNames(checkpoints: string) {
  const found: { name: string; step: number; standIn: boolean }[] = [];
  for (const name of await readdir(checkpoints)) {
    const match = checkpointName.exec(name);
    if (match !== null) found.push({ name, step: Number(match[2]), standIn: match[1] !== undefined });
  }
  return found.sort((a, b) => Number(a.standIn) - Number(b.standIn) || b.step - a.step);
}

async function isWhole(folder: string): Promise<boolean> {
  const files = allCheckpointFiles.map((file) => isFile(join(folder, file)));
  return (await Promise.all(files)).every(Boolean);
}
