/** The runs below a folder, and how each of them stands: what a person asks who comes back to a machine. */
import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type LogLine, logTail } from '../train/log-file.js';
import { messageOf, UserError } from '../util/errors.js';
import { explained } from '../util/system-errors.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { isHeld } from '../weights/checkpoint/run-lock.js';
import { foldersOfRun, hasFile, isRun, readJson } from './check-output.js';

/** Of a log that is longer this much at its end is read. */
const tailBytes = 2 ** 22;

/**
 * running: a process holds the lock; finished: the schedule is done; stopped: by a signal or `--max-steps`; died: by an
 * error or without a word; unreadable: not known.
 */
export type RunState = 'running' | 'finished' | 'stopped' | 'died' | 'unreadable';

/** What `--json` prints of a run; null where it is not known. */
export interface RunRow {
  readonly path: string;
  readonly state: RunState;
  readonly command: string | null;
  readonly model: string | null;
  readonly step: number | null;
  readonly total_steps: number | null;
  readonly epoch: number | null;
  readonly epochs: number | null;
  /** Mean over the last epoch that has ended, or of the last step that was logged. */
  readonly loss: number | null;
  readonly best: { readonly name: 'logreg' | 'val_top1' | 'val_loss'; readonly value: number } | null;
  /** Whether `best` is the best of the end of a long log alone. */
  readonly is_partial: boolean;
  /** ISO 8601 */
  readonly changed: string;
  /** Why something is not known. */
  readonly problem: string | null;
}

/** The runs below a folder, those that changed last first; a UserError where there is none. */
export async function listRuns(folder: string, note: (line: string) => void): Promise<RunRow[]> {
  const rows: RunRow[] = [];
  for await (const run of runsBelow(folder, note)) rows.push(await runRow(run));
  if (rows.length === 0) {
    throw new UserError(
      `runs: expected runs of mae below ${folder}, got none; give the folder that holds their --output-dir`,
    );
  }
  return rows.sort((a, b) => b.changed.localeCompare(a.changed) || a.path.localeCompare(b.path));
}

/** Each folder once, whatever links lead to it; real folders before links, so that runs have their own names. */
async function* runsBelow(top: string, note: (line: string) => void): AsyncGenerator<string> {
  const seen = new Set<string>();
  const pending = [{ folder: top, isLink: false }];
  const links: typeof pending = [];
  for (let next = pending.pop(); next !== undefined; next = pending.pop() ?? links.pop()) {
    const { folder, isLink } = next;
    try {
      const { dev, ino } = await stat(folder, { bigint: true });
      if (seen.has(`${dev}:${ino}`)) continue;
      seen.add(`${dev}:${ino}`);
      const entries = await readdir(folder, { withFileTypes: true });
      const isOne = looksLikeRun(folder);
      if (isOne) yield folder;
      for (const entry of entries) {
        const { name } = entry;
        if (name.startsWith('.') || name === 'node_modules' || (isOne && foldersOfRun.includes(name)))
          continue;
        if (entry.isDirectory()) pending.push({ folder: join(folder, name), isLink: false });
        if (entry.isSymbolicLink()) links.push({ folder: join(folder, name), isLink: true });
      }
    } catch (error) {
      if (folder === top) throw explained(error, 'runs', `to read the folder ${folder}`);
      if (!isLink) note(`runs: ${messageOf(error)}`); // a link to a file, or to nothing
    }
  }
}

/** A run, or one whose config.json is torn. */
function looksLikeRun(folder: string): boolean {
  const { config, log } = runPaths(folder);
  return isRun(folder) || (hasFile(log) && hasFile(config) && Object.keys(readJson(config)).length === 0);
}

/** How a run stands. */
export async function runRow(path: string): Promise<RunRow> {
  const { config: configPath, log } = runPaths(path);
  const config = readJson(configPath);
  const changed = await stat(log).catch(() => stat(path));
  const plan = planOf(config);
  const { command = 'pretrain' } = config;
  const isKnown = 'options' in config;
  const row = {
    path,
    command: isKnown ? String(command) : null,
    model: isKnown ? modelOf(config['options']) : null,
    total_steps: plan?.totalSteps ?? null,
    epochs: plan?.epochs ?? null,
    changed: changed.mtime.toISOString(),
  };
  const unknown = { step: null, epoch: null, loss: null, best: null, is_partial: false };
  try {
    const isRunning = await isHeld(path);
    const isThere = hasFile(log) || isRunning;
    if (!isThere) return { ...row, ...unknown, state: 'unreadable', problem: 'log.jsonl: it is not there' };
    const { lines, isWhole } = hasFile(log) ? await logTail(log, tailBytes) : { lines: [], isWhole: true };
    return {
      ...row,
      state: isRunning ? 'running' : stateOf(lines, plan),
      ...progressOf(lines),
      is_partial: !isWhole,
      problem: isKnown ? null : 'config.json: it is torn or not there',
    };
  } catch (error) {
    return { ...row, ...unknown, state: 'unreadable', problem: messageOf(error) };
  }
}

type Fields = Readonly<Record<string, unknown>>;

interface RunPlan {
  readonly epochs: number;
  /** Of the whole schedule. */
  readonly scheduledSteps: number;
  /** As `--max-steps` may end it before. */
  readonly totalSteps: number;
}

/** What `planRun` makes of a config.json; undefined where that does not say. */
function planOf({ options, dataset }: Fields): RunPlan | undefined {
  const {
    epochs,
    'batch-size': batchSize,
    'accum-iter': accumIter,
    'max-steps': maxSteps,
  } = (options ?? {}) as Fields;
  const { images } = (dataset ?? {}) as Fields;
  const numbers = [epochs, batchSize, accumIter, images];
  if (!numbers.every((value) => typeof value === 'number')) return undefined;
  const [e, b, a, n] = numbers as [number, number, number, number];
  const scheduledSteps = e * Math.floor(n / b / a);
  const totalSteps = typeof maxSteps === 'number' ? Math.min(maxSteps, scheduledSteps) : scheduledSteps;
  return { epochs: e, scheduledSteps, totalSteps };
}

/** A preset, the name of a model's file, or of the run whose encoder a classifier began with. */
function modelOf(options: unknown): string | null {
  const { model, checkpoint } = (options ?? {}) as Fields;
  if (typeof model === 'string') return basename(model, '.json');
  if (typeof checkpoint !== 'string') return null;
  return basename(checkpoint.replace(/[/\\]checkpoints([/\\].*)?$/, ''));
}

/**
 * How a run that no process holds came to its end. The logs of earlier versions do not say: of theirs those are known that
 * saved their last step.
 */
function stateOf(lines: readonly LogLine[], plan: RunPlan | undefined): RunState {
  const last = lines.findLast(({ type }) => type === 'start' || type === 'end');
  const saved = lines.findLast(({ type }) => type === 'checkpoint')?.step ?? 0;
  const isAtEnd = plan !== undefined && saved >= plan.totalSteps;
  const how = last?.type === 'end' ? last['how'] : isAtEnd ? 'finished' : 'failed';
  if (how !== 'finished') return how === 'stopped' ? 'stopped' : 'died';
  return plan === undefined || saved >= plan.scheduledSteps ? 'finished' : 'stopped';
}

function progressOf(lines: readonly LogLine[]): Pick<RunRow, 'step' | 'epoch' | 'loss' | 'best'> {
  const last = (...types: string[]) => lines.findLast(({ type }) => types.includes(type));
  const place = last('train', 'epoch');
  const loss = (last('epoch') ?? last('train'))?.['loss'];
  return {
    step: last('train', 'epoch', 'checkpoint')?.step ?? null,
    epoch: place?.epoch === undefined ? null : place.epoch + 1,
    loss: typeof loss === 'number' ? loss : null,
    best: bestOf(lines),
  };
}

/** By a probe where there is one, else by the accuracy of validation, else by its loss. */
function bestOf(lines: readonly LogLine[]): RunRow['best'] {
  const values = (type: string, field: string): number[] =>
    lines.flatMap((line) => {
      const value = line.type === type ? line[field] : undefined;
      return typeof value === 'number' ? [value] : [];
    });
  const largest = (all: readonly number[]) => all.reduce((a, b) => Math.max(a, b));
  const logreg = values('probe', 'logreg');
  if (logreg.length > 0) return { name: 'logreg', value: largest(logreg) };
  const top1 = values('val', 'val_top1');
  if (top1.length > 0) return { name: 'val_top1', value: largest(top1) };
  const losses = values('val', 'loss');
  return losses.length > 0 ? { name: 'val_loss', value: losses.reduce((a, b) => Math.min(a, b)) } : null;
}
