/** The data of a report: a function of run directories, which stay as they are. */
import { realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import type { ReportData, RunData } from '../../page/report-data.js';
import { UserError } from '../../util/errors.js';
import { version } from '../../util/version.js';
import { runPaths } from '../../weights/checkpoint/run-directory.js';
import { hasFile, readJson } from '../check-output.js';
import { runRow } from '../list-runs.js';
import { evaluationsOf } from './evaluations.js';
import { optionRows } from './options.js';
import { type RunLog, readRunLog, throughputOf } from './run-log.js';
import { sheetsOf } from './sheets.js';
import { weightPictures } from './weight-pictures.js';

export interface CollectOptions {
  readonly runs: readonly string[];
  /** Threads of ONNX Runtime; 0 stands for one a core. */
  readonly threads: number;
}

/** Bytes of the sheets of all runs together. */
const mostSheetBytes = 24 * 2 ** 20;

/** A UserError where a path is no run, a run has nothing to show yet, or one is given twice. */
export async function collectReport({ runs, threads }: CollectOptions): Promise<ReportData> {
  checkRuns(runs);
  const names = shortNames(runs);
  const collected: RunData[] = [];
  for (const [i, run] of runs.entries())
    collected.push(await runData(run, names[i]!, threads, mostSheetBytes / runs.length));
  return {
    format: 'mae-report',
    version: 1,
    mae: version,
    made: new Date().toISOString(),
    runs: collected,
    options: optionRows(runs.map((run) => readJson(runPaths(run).config))),
  };
}

/** A UserError where there is no log, or one run has two paths here. */
export function checkRuns(runs: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const run of runs) {
    if (!hasFile(runPaths(run).log)) {
      throw new UserError(
        `report: expected a run directory with a log.jsonl at ${run}, got none; check the path`,
      );
    }
    const place = realpathSync(run);
    const other = seen.get(place);
    if (other !== undefined) {
      const twice = other === run ? `${run} twice` : `${other} and ${run}, which are one`;
      throw new UserError(`report: expected each run once, got ${twice}; leave one out`);
    }
    seen.set(place, run);
  }
}

/** The ends of paths, as short as tells them apart. */
export function shortNames(paths: readonly string[]): string[] {
  const parts = paths.map((path) => resolve(path).split(sep));
  const end = (of: readonly string[], count: number) => of.slice(-count).join('/') || sep;
  return parts.map((own) => {
    let count = 1;
    const isShared = () => parts.filter((other) => end(other, count) === end(own, count)).length > 1;
    while (count < own.length && isShared()) count++;
    return end(own, count);
  });
}

async function runData(run: string, name: string, threads: number, sheetBytes: number): Promise<RunData> {
  const paths = runPaths(run);
  const log = await readRunLog(paths.log);
  if (log.curves.length === 0) {
    throw new UserError(
      `report: expected lines of training in ${paths.log}, got none yet; wait for the first, or check the path`,
    );
  }
  const config = readJson(paths.config);
  const row = await runRow(run);
  const notes: string[] = [];
  const note = (line: string) => void notes.push(line);
  const numbers = planNumbers(config);
  const sheets = sheetsOf(run, sheetBytes);
  noteLog(log, config, note);
  if (sheets === null) note('No reconstructions: the run has no sheets of pictures.');
  else if (sheets.sheets.length < sheets.total)
    note(
      `Of ${sheets.total} sheets of reconstructions ${sheets.sheets.length} are shown: the page would be too large.`,
    );
  return {
    name,
    path: resolve(run),
    command: row.command,
    model: row.model,
    state: row.state,
    step: log.lastStep,
    totalSteps: row.total_steps ?? log.totalSteps,
    epochs: row.epochs,
    stepsPerEpoch: numbers.stepsPerEpoch ?? log.stepsPerEpoch,
    imagesPerStep: numbers.imagesPerStep,
    curves: log.curves,
    guesses: log.guesses,
    throughput: throughputOf(log, numbers.imagesPerStep),
    machine: machineOf(log, config),
    skipped: log.skipped,
    troubles: log.troubles,
    sheets,
    weights: await weightPictures(run, { threads, exifRotation: exifOf(config) }, note),
    evaluations: evaluationsOf(run),
    notes,
  };
}

type Fields = Readonly<Record<string, unknown>>;

function noteLog(
  { damaged, outOfOrder, curves }: RunLog,
  config: Fields,
  note: (line: string) => void,
): void {
  if (Object.keys(config).length === 0)
    note('No configuration: config.json is not there, or cannot be read.');
  if (damaged > 0) note(`Damaged lines of log.jsonl that are left out: ${damaged}.`);
  if (outOfOrder > 0) note(`Points of log.jsonl that come out of order, and are left out: ${outOfOrder}.`);
  const thin = curves.filter(({ mean }) => mean !== null);
  if (thin.length > 0) {
    const most = Math.max(...thin.map(({ total }) => total));
    note(
      `Curves of up to ${most.toLocaleString('en')} points are thinned out: of points next to each other the smallest and the largest are ` +
        'drawn, and smoothing is of their mean.',
    );
  }
}

/** Where config.json does not say, null. */
function planNumbers({ options, dataset }: Fields): Pick<RunData, 'stepsPerEpoch' | 'imagesPerStep'> {
  const { 'batch-size': batch, 'accum-iter': accumulated } = (options ?? {}) as Fields;
  const { images } = (dataset ?? {}) as Fields;
  if (typeof batch !== 'number' || typeof accumulated !== 'number')
    return { stepsPerEpoch: null, imagesPerStep: null };
  const imagesPerStep = batch * accumulated;
  const steps = typeof images === 'number' ? Math.floor(images / batch / accumulated) : 0;
  return { stepsPerEpoch: steps > 0 ? steps : null, imagesPerStep };
}

function exifOf({ options }: Fields): boolean | undefined {
  const { 'exif-rotation': value } = (options ?? {}) as Fields;
  return typeof value === 'boolean' ? value : undefined;
}

function machineOf({ device, compute }: RunLog, { mae, onnxruntime, node }: Fields): [string, string][] {
  const rows = { device, precision: compute, mae, 'ONNX Runtime': onnxruntime, Node: node };
  return Object.entries(rows).flatMap(([name, value]) =>
    typeof value === 'string' ? [[name, value] as [string, string]] : [],
  );
}
