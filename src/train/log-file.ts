/** `log.jsonl` of a run, read back and cut line by line; `observers/jsonl.ts` writes it. */
import { createReadStream } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { codeOf, UserError } from '../util/errors.js';
import { explained } from '../util/system-errors.js';
import { writeTextAtomically } from '../weights/checkpoint/durable-files.js';
import type { Guesses } from './observer.js';

export interface LogLine {
  readonly type: string;
  readonly step?: number;
  readonly epoch?: number;
  readonly [field: string]: unknown;
}

/** Whether a run got as far as its first training line. A file that is no log of a run is a UserError. */
export async function logHasSteps(path: string): Promise<boolean> {
  for await (const lines of readLog(path)) if (lines.some(({ line }) => line?.type === 'train')) return true;
  return false;
}

/** The mean losses of the epochs that a run ended, in their order. */
export async function epochLosses(path: string): Promise<number[]> {
  const losses: number[] = [];
  for await (const lines of readLog(path)) {
    for (const { line } of lines) if (line?.type === 'epoch') losses.push(line['loss'] as number);
  }
  return losses;
}

/** The losses of guesses that a run logged, if it did; the last before its steps. */
export async function loggedGuesses(path: string): Promise<Guesses | undefined> {
  let guesses: Guesses | undefined;
  for await (const lines of readLog(path)) {
    for (const { line } of lines) {
      if (line?.type === 'train') return guesses;
      if (line?.type !== 'guesses') continue;
      const { mean, colour } = line;
      if (typeof mean === 'number' && typeof colour === 'number') guesses = { mean, colour };
    }
  }
  return guesses;
}

/** How many epochs a run has behind it at its last line of a type up to step `lastStep`; 0 where it had none. */
export async function loggedEpochs(path: string, type: 'val' | 'probe', lastStep: number): Promise<number> {
  let epochs = 0;
  for await (const lines of readLog(path)) {
    for (const { line } of lines) {
      if (line?.type === type && !isLater(line, lastStep)) epochs = line.epoch! + 1;
    }
  }
  return epochs;
}

/** What the lines of a type have in a field up to step `lastStep`, in their order. */
export async function loggedValues(
  path: string,
  { type, field }: { readonly type: 'val' | 'probe' | 'pictures'; readonly field: string },
  lastStep: number,
): Promise<{ step: number; value: number }[]> {
  const found: { step: number; value: number }[] = [];
  for await (const lines of readLog(path)) {
    for (const { line } of lines) {
      const value = line?.type === type && !isLater(line, lastStep) && line[field];
      if (typeof value === 'number') found.push({ step: line!.step!, value });
    }
  }
  return found;
}

/**
 * The lines of a log, some at a time, without those that are torn or damaged.
 *
 * @param onDamaged is called for each whole line that is left out; a last one without its end is still being written
 */
export async function* logLines(path: string, onDamaged: () => void = () => {}): AsyncGenerator<LogLine[]> {
  for await (const lines of readLog(path)) {
    yield lines.flatMap(({ line, bytes }) => {
      if (line === undefined && bytes.at(-1) === newline) onDamaged();
      return line ?? [];
    });
  }
}

/** The lines at the end of a log: of its last bytes where it has more. A file that is no log is a UserError. */
export async function logTail(path: string, most: number): Promise<{ lines: LogLine[]; isWhole: boolean }> {
  let handle: FileHandle | undefined;
  try {
    if (!(await stat(path)).isFile()) throw anotherFile(path);
    handle = await open(path, 'r');
    const { size } = await handle.stat();
    const start = Math.max(0, size - most);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    const texts = buffer.subarray(0, bytesRead).toString().split('\n');
    if (start > 0) texts.shift(); // most likely a part of a line
    const lines = texts.flatMap((text) => parseLine(text) ?? []);
    if (lines.length === 0 && texts.length > 1) throw anotherFile(path);
    return { lines, isWhole: start === 0 };
  } catch (error) {
    throw explained(error, 'log', `to read ${path}`);
  } finally {
    await handle?.close();
  }
}

/** The last line of a type up to step `lastStep`, if there is one. */
export async function lastLogged(
  path: string,
  type: 'val' | 'probe',
  lastStep: number,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  let last: LogLine | undefined;
  for await (const lines of readLog(path)) {
    for (const { line } of lines) if (line?.type === type && !isLater(line, lastStep)) last = line;
  }
  return last;
}

/**
 * Removes what a killed process wrote after the checkpoint that the run goes on from: lines of later steps and
 * a torn last line.
 */
export async function trimLog(path: string, lastStep: number): Promise<void> {
  const isKept = ({ line }: ReadLine) => line !== undefined && !isLater(line, lastStep);
  const endsWhole = ({ bytes }: ReadLine) => bytes.at(-1) === newline;
  let isWhole = true;
  for await (const lines of readLog(path)) isWhole &&= lines.every((read) => isKept(read) && endsWhole(read));
  if (isWhole) return;
  await writeTextAtomically(
    path,
    (async function* () {
      for await (const lines of readLog(path)) {
        const kept = lines.filter(isKept);
        yield Buffer.concat(kept.flatMap((read) => (endsWhole(read) ? [read.bytes] : [read.bytes, lineEnd])));
      }
    })(),
  );
}

function isLater({ step }: LogLine, lastStep: number): boolean {
  return step !== undefined && step > lastStep;
}

interface ReadLine {
  /** With the newline, if it has one. */
  readonly bytes: Buffer;
  /** Undefined where the line is torn or damaged. */
  readonly line: LogLine | undefined;
}

/** The lines of a log, if it is there, some at a time. A first line that is of no log is a UserError. */
async function* readLog(path: string): AsyncGenerator<ReadLine[]> {
  let isFirst = true;
  for await (const some of linesOf(path)) {
    const lines = some.map((bytes) => ({ bytes, line: parseLine(bytes) }));
    const first = lines[0];
    if (isFirst && first?.line === undefined && first?.bytes.at(-1) === newline) throw anotherFile(path);
    isFirst &&= first === undefined;
    yield lines;
  }
}

function anotherFile(path: string): UserError {
  return new UserError(
    `log: expected ${path} to be the log of a run, got a file of another kind; ` +
      'move it elsewhere, or give another --output-dir',
  );
}

function parseLine(bytes: Buffer | string): LogLine | undefined {
  try {
    const line: unknown = JSON.parse(bytes.toString());
    return typeof (line as LogLine | null)?.type === 'string' ? (line as LogLine) : undefined;
  } catch {
    return undefined;
  }
}

const newline = 0x0a;
const lineEnd = Buffer.of(newline);
/** Read at once. */
const pieceBytes = 2 ** 20;

/** The lines of a file with their newlines, some at a time; none where there is no file. */
async function* linesOf(path: string): AsyncGenerator<Buffer[]> {
  let rest: Buffer[] = [];
  try {
    if (!(await stat(path)).isFile()) throw anotherFile(path); // a device may have no end
    const pieces = createReadStream(path, { highWaterMark: pieceBytes }) as AsyncIterable<Buffer>;
    for await (const piece of pieces) {
      const lines: Buffer[] = [];
      let start = 0;
      for (let end = piece.indexOf(newline); end >= 0; end = piece.indexOf(newline, start)) {
        const part = piece.subarray(start, end + 1);
        lines.push(rest.length === 0 ? part : Buffer.concat([...rest, part]));
        rest = [];
        start = end + 1;
      }
      if (start < piece.length) rest.push(piece.subarray(start));
      yield lines;
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return;
    throw explained(error, 'log', `to read ${path}`);
  }
  if (rest.length > 0) yield [Buffer.concat(rest)];
}
