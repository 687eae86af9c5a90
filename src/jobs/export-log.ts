/** The log of a run for other programs. */
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileStart } from '../train/event-file.js';
import { eventFileName, eventOf } from '../train/event-log.js';
import { type LogLine, logLines } from '../train/log-file.js';
import { curveTypes, scalarsOf } from '../train/log-scalars.js';
import { eventFilesOf } from '../train/observers/tensorboard.js';
import { csvField } from '../util/csv.js';
import { UserError } from '../util/errors.js';
import { replaceFile } from '../util/replace-file.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { checkOutputFile, checkOutputFolder, hasFile } from './check-output.js';

export const logFormats = ['tensorboard', 'csv'] as const;

export interface LogExportOptions {
  /** A run directory. */
  readonly run: string;
  readonly format: (typeof logFormats)[number];
  /** A folder for event files, the run's own where not given; a CSV file, or what `print` is told. */
  readonly output?: string | undefined;
}

/** Writes the curves of a log. Returns the path of what was written; undefined where it was printed. */
export async function exportLog(
  { run, format, output }: LogExportOptions,
  print: (line: string) => void,
): Promise<string | undefined> {
  const { log } = runPaths(run);
  if (!hasFile(log)) {
    throw new UserError(`log: expected a run directory with a log.jsonl at ${run}, got none; check the path`);
  }
  if (format === 'tensorboard') return await writeEvents(run, output);
  if (output === undefined) {
    for await (const row of csvRows(log)) print(row);
    return undefined;
  }
  checkOutputFile(output, [log]);
  await replaceFile(output, 'log', (temporary) => writeRows(temporary, csvRows(log)));
  return output;
}

async function writeEvents(run: string, output: string | undefined): Promise<string> {
  const { log, tensorboard } = runPaths(run);
  if (output !== undefined) checkOutputFolder(output);
  const folder = output ?? tensorboard;
  const there = eventFilesOf(folder)[0];
  if (there !== undefined) {
    throw new UserError(
      `log: expected no event files in ${folder}, got ${there}; TensorBoard would show each step twice: ` +
        'it has them already, or give another folder with -o',
    );
  }
  const startTime = await timeOfStart(log);
  const file = join(folder, eventFileName(Math.floor(startTime)));
  await replaceFile(file, 'log', async (temporary) => {
    await appendFile(temporary, fileStart(startTime));
    for await (const lines of logLines(log)) {
      const events = lines.flatMap((line) => eventOf(line, secondsOf(line), run) ?? []);
      await appendFile(temporary, Buffer.concat(events));
    }
  });
  return file;
}

const secondsOf = (line: LogLine): number => Date.parse(`${line['time']}`) / 1000;

/** When the first line of a log that has something to export was written; a UserError where there is none. */
async function timeOfStart(log: string): Promise<number> {
  for await (const lines of logLines(log)) {
    const first = lines.find((line) => Object.keys(scalarsOf(line)).length > 0);
    if (first !== undefined) return secondsOf(first);
  }
  throw nothingYet(log);
}

function nothingYet(log: string): UserError {
  return new UserError(
    `log: expected lines of training in ${log}, got none yet; wait for the first, or check the path`,
  );
}

/** The rows of a CSV file: a row for each step that has numbers, a column for each curve, empty where it has no point. */
async function* csvRows(log: string): AsyncGenerator<string> {
  const curves = await curvesOf(log);
  yield ['step', 'epoch', 'time', ...curves].map(csvField).join(',');
  let row: { line: LogLine; scalars: Record<string, number> } | undefined;
  const text = ({ line, scalars }: NonNullable<typeof row>) =>
    [line.step, line.epoch, line['time'], ...curves.map((tag) => scalars[tag])]
      .map((value) => csvField(`${value ?? ''}`))
      .join(',');
  for await (const lines of logLines(log)) {
    for (const line of lines) {
      const scalars = scalarsOf(line);
      if (Object.keys(scalars).length === 0) continue;
      if (row !== undefined && row.line.step !== line.step) {
        yield text(row);
        row = undefined;
      }
      row = { line: row?.line ?? line, scalars: { ...row?.scalars, ...scalars } };
    }
  }
  yield text(row!);
}

/** The tags of a log, training's first, else in the order of their first points; a UserError where there is none. */
async function curvesOf(log: string): Promise<string[]> {
  const tags = new Set<string>();
  for await (const lines of logLines(log)) {
    for (const line of lines) for (const tag of Object.keys(scalarsOf(line))) tags.add(tag);
  }
  if (tags.size === 0) throw nothingYet(log);
  const typeOf = (tag: string) => curveTypes.indexOf(tag.split('/')[0]!);
  return [...tags].sort((a, b) => typeOf(a) - typeOf(b));
}

/** Some thousand rows at once. */
async function writeRows(path: string, rows: AsyncGenerator<string>): Promise<void> {
  let text = '';
  for await (const row of rows) {
    text += `${row}\n`;
    if (text.length < 2 ** 18) continue;
    await appendFile(path, text);
    text = '';
  }
  await appendFile(path, text);
}
