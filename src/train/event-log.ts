/** Lines of a run's log as TensorBoard's events: while the run goes on, and afterwards. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readPngHeader } from '../data/decode/png.js';
import { type EncodedImage, sessionStart, summaryRecord } from './event-file.js';
import type { LogLine } from './log-file.js';
import { scalarsOf } from './log-scalars.js';

/** The tag of the sheets of `pictures/`. */
const picturesTag = 'reconstructions';

/** What begins the names of files that TensorBoard reads; the seconds of their start follow, by which it orders them. */
const namePattern = /^events\.out\.tfevents\.(\d+)\./;

export const eventFileName = (seconds: number) =>
  `events.out.tfevents.${String(seconds).padStart(10, '0')}.mae`;

/** The seconds in the name of such a file; undefined where it is another's. */
export function eventFileSeconds(name: string): number | undefined {
  const seconds = namePattern.exec(name)?.[1];
  return seconds === undefined ? undefined : Number(seconds);
}

/** The first step that a process takes, or draws pictures before: what was written of it before is of one that was killed. */
export const firstStep = (step: number, isResumed: boolean) => (isResumed ? step + 1 : 0);

/**
 * The record of a line of the log, if it has something for TensorBoard.
 *
 * @param wallTime in seconds since 1970
 * @param run its directory, where the pictures are
 */
export function eventOf(line: LogLine, wallTime: number, run: string): Uint8Array | undefined {
  if (line.type === 'start')
    return sessionStart(wallTime, firstStep(line.step ?? 0, line['resumed_from'] !== null));
  const [scalars, images] = [scalarsOf(line), imagesOf(line, run)];
  const isEmpty = Object.keys({ ...scalars, ...images }).length === 0;
  return isEmpty ? undefined : summaryRecord({ wallTime, step: line.step!, scalars, images });
}

/** A sheet that is no longer there, or is torn, is left out. */
function imagesOf({ type, step, path }: LogLine, run: string): Record<string, EncodedImage> {
  const isSheet =
    type === 'pictures' && typeof step === 'number' && /^pictures\/[\w-]+\.png$/.test(`${path}`);
  if (!isSheet) return {};
  try {
    const png = readFileSync(join(run, `${path}`));
    const { height, width } = readPngHeader(png);
    return { [picturesTag]: { height, width, png } };
  } catch {
    return {};
  }
}
