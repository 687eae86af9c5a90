/** Checkpoints whose files are what was saved. */
import { basename, dirname } from 'node:path';
import { UserError } from '../../util/errors.js';
import { type CheckpointFile, checkpointFiles, digestsFile } from './checkpoint-files.js';
import { damageOf } from './digests.js';
import { exists } from './durable-files.js';
import { type ResolvedCheckpoint, resolveCheckpoint } from './resolve-checkpoint.js';
import { type Checkpoint, checkpointName, checkpointsOf, runPaths } from './run-directory.js';

/**
 * The newest checkpoint of a run of which these files are what was saved; undefined where there are none at all, and a
 * UserError where none is whole.
 *
 * @param note is told of newer ones that are damaged
 */
export async function wholeCheckpoint(
  run: string,
  names: readonly CheckpointFile[],
  note: (line: string) => void,
): Promise<Checkpoint | undefined> {
  const damaged: string[] = [];
  for (const checkpoint of await checkpointsOf(run)) {
    const damage = await damageOf(checkpoint.folder, names);
    const name = basename(checkpoint.folder);
    if (damage === undefined) {
      if (damaged.length > 0) note(`checkpoint: ${damaged.join(', ')}; going on from ${name}`);
      return checkpoint;
    }
    // a run that goes on meanwhile removes its old ones
    if (!(await exists(checkpoint.folder))) return wholeCheckpoint(run, names, note);
    damaged.push(`${name} is damaged (${damage})`);
  }
  if (damaged.length === 0) return undefined;
  throw new UserError(
    `checkpoint: expected a whole one in ${runPaths(run).checkpoints}, got none (${damaged.join(', ')}); ` +
      'copy one back from where it is whole, or start again in another directory',
  );
}

/**
 * As `resolveCheckpoint`, but these files are what was saved: of a run the newest checkpoint with whole ones is taken,
 * and a damaged checkpoint that was named is a UserError.
 *
 * @param note is told of newer ones that are damaged
 */
export async function resolveWholeCheckpoint(
  given: string,
  names: readonly CheckpointFile[],
  note: (line: string) => void,
): Promise<ResolvedCheckpoint> {
  let taken: string | undefined;
  const found = await resolveCheckpoint(given, async (run) => {
    const checkpoint = await wholeCheckpoint(run, names, note);
    taken = checkpoint?.folder;
    return checkpoint;
  });
  const folder = dirname(found.modelPath);
  const isOurs =
    basename(found.modelPath) === checkpointFiles.model &&
    (found.folder !== undefined || (found.runFolder !== undefined && checkpointName.test(basename(folder))));
  if (folder === taken || !isOurs) return found;
  const damage = await damageOf(folder, names);
  if (damage === undefined) return found;
  const whole = found.runFolder && (await anyWhole(found.runFolder, names));
  const remedy = whole
    ? `give ${whole}, the newest whole one of that run`
    : 'copy it again from where it is whole, for no other of that run is';
  const onPurpose = damage.includes('saved') ? `, or remove its ${digestsFile} if you changed the file` : '';
  throw new UserError(
    `checkpoint: expected ${folder} as it was saved, got a damaged one (${damage}); ${remedy}${onPurpose}`,
  );
}

async function anyWhole(run: string, names: readonly CheckpointFile[]): Promise<string | undefined> {
  for (const { folder } of await checkpointsOf(run)) {
    if ((await damageOf(folder, names)) === undefined) return folder;
  }
  return undefined;
}
