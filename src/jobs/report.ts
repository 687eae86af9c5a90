/** `mae report`: what runs did, as one page that needs no network. */
import { closeSync, openSync, readSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { trainDefaults } from '../train/options.js';
import { replaceFile } from '../util/replace-file.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { checkOutputFile, hasFile, refused } from './check-output.js';
import { type CollectOptions, checkRuns, collectReport } from './report/collect.js';
import { reportMark, reportPage } from './report/page.js';

export interface ReportOptions extends CollectOptions {
  /** The page to write. */
  readonly output: string;
}

export const reportDefaults = {
  output: 'report.html',
  threads: trainDefaults.threads,
} as const satisfies Partial<ReportOptions>;

/** @param note is told what the page leaves out, and why */
export async function writeReport(options: ReportOptions, note: (line: string) => void): Promise<void> {
  const { runs, output } = options;
  checkRuns(runs);
  checkPage(output, runs);
  const data = await collectReport(options);
  for (const { name, notes } of data.runs) for (const line of notes) note(`${name}: ${line}`);
  const page = reportPage(data);
  await replaceFile(output, 'report', (temporary) => writeFile(temporary, page));
}

/** A UserError where the page would replace anything but an earlier one. */
function checkPage(output: string, runs: readonly string[]): void {
  const inputs = runs.flatMap((run) => [runPaths(run).log, runPaths(run).config]);
  checkOutputFile(output, [...inputs, ...runs.map((run) => join(run, 'pictures', 'pictures.json'))]);
  if (!hasFile(output) || isReport(output)) return;
  throw refused(output, 'a new file or a report of mae', 'a file of something else', 'choose another path');
}

function isReport(path: string): boolean {
  const handle = openSync(path, 'r');
  try {
    const start = Buffer.alloc(reportMark.length);
    const bytes = readSync(handle, start, 0, start.length, 0);
    return bytes === 0 || start.toString('latin1', 0, bytes) === reportMark;
  } finally {
    closeSync(handle);
  }
}
