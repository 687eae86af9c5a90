/** state.json of a checkpoint: where the run was, beside the numbers of the model and the optimizer. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, UserError } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';
import { checkpointFiles } from './checkpoint-files.js';
import { writeJsonAtomically } from './durable-files.js';

const format = 'mae-state';
const version = 1;

/** What the trainer wants to find again; only JSON values. */
export interface State {
  readonly step: number;
  readonly [field: string]: unknown;
}

export async function writeState(folder: string, state: State): Promise<void> {
  await writeJsonAtomically(join(folder, checkpointFiles.state), { format, version, ...state });
}

/** The state in a checkpoint folder, without its format and version; the caller checks its own fields. */
export async function readState(folder: string): Promise<State> {
  const path = join(folder, checkpointFiles.state);
  const bad = (got: string, remedy: string) =>
    new UserError(`checkpoint: expected ${path} to be the state of a run, got ${got}; ${remedy}`);
  const another = 'resume from another checkpoint';

  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw explained(error, 'checkpoint', `the state of a run in ${path}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw bad(`no JSON (${messageOf(error).slice(0, 100)})`, another);
  }
  if (typeof value !== 'object' || value === null || (value as State)['format'] !== format) {
    throw bad('JSON of something else', another);
  }
  const { format: _, version: found, ...state } = value as State;
  if (found !== version) {
    throw bad(
      `version ${JSON.stringify(found)} where this program reads ${version}`,
      `use the version of mae that wrote it, or ${another}`,
    );
  }
  if (!Number.isSafeInteger(state.step) || state.step < 0) {
    throw bad(`the step ${JSON.stringify(state.step)}`, another);
  }
  return state;
}
