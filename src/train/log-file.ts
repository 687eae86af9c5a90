/** `log.jsonl` of a run, read back and cut line by line; `observers/jsonl.ts` writes it. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { codeOf, UserError } from '../util/errors.js';
import { explained, writeTextAtomically } from '../weights/checkpoint/durable-files.js';

interface LogLine {
  readonly type: string;
  readonly step?: number;
  readonly epoch?: number;
  readonly loss?: number;
}

/** Whether a run got as far as its first training line. A file that is no log of a run is a UserError. */
export async function logHasSteps(path: string): Promise<boolean> {
  for await (const { line } of readLog(path)) if (line?.type === 'train') return true;
  return false;
}

/** The mean losses of the epochs that a run ended, in their order. */
export async function epochLosses(path: string): Promise<number[]> {
  const losses: number[] = [];
  for await (const { line } of readLog(path)) if (line?.type === 'epoch') losses.push(line.loss!);
  return losses;
}

/** How many epochs a run has behind it at its last validation up to step `lastStep`; 0 where it had none. */
export async function validatedEpochs(path: string, lastStep: number): Promise<number> {
  let epochs = 0;
  for await (const { line } of readLog(path)) {
    if (line?.type === 'val' && !isLater(line, lastStep)) epochs = line.epoch! + 1;
  }
  return epochs;
}

/**
 * Removes what a killed process wrote after the checkpoint that the run goes on from: lines of later steps and
 * a torn last line.
 */
export async function trimLog(path: string, lastStep: number): Promise<void> {
  const isKept = ({ line }: ReadLine) => line !== undefined && !isLater(line, lastStep);
  let isWhole = true;
  for await (const read of readLog(path)) isWhole &&= isKept(read) && read.bytes.at(-1) === newline;
  if (isWhole) return;
  await writeTextAtomically(
    path,
    (async function* () {
      for await (const read of readLog(path)) {
        if (isKept(read)) yield read.bytes.at(-1) === newline ? read.bytes : `${read.bytes}\n`;
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

/** The lines of a log, if it is there, in the memory of one. A first line that is of no log is a UserError. */
async function* readLog(path: string): AsyncGenerator<ReadLine> {
  let isFirst = true;
  for await (const bytes of linesOf(path)) {
    const line = parseLine(bytes);
    if (isFirst && line === undefined && bytes.at(-1) === newline) {
      throw anotherFile(path);
    }
    isFirst = false;
    yield { bytes, line };
  }
}

function anotherFile(path: string): UserError {
  return new UserError(
    `log: expected ${path} to be the log of a run, got a file of another kind; ` +
      'move it elsewhere, or give another --output-dir',
  );
}

function parseLine(bytes: Buffer): LogLine | undefined {
  try {
    const line: unknown = JSON.parse(bytes.toString());
    return typeof (line as LogLine | null)?.type === 'string' ? (line as LogLine) : undefined;
  } catch {
    return undefined;
  }
}

const newline = 0x0a;

/** The lines of a file with their newlines; none where there is no file. */
async function* linesOf(path: string): AsyncGenerator<Buffer> {
  let rest: Buffer[] = [];
  try {
    if (!(await stat(path)).isFile()) throw anotherFile(path); // a device may have no end
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, start)) {
        yield Buffer.concat([...rest, chunk.subarray(start, end + 1)]);
        rest = [];
        start = end + 1;
      }
      rest.push(chunk.subarray(start));
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return;
    throw explained(error, 'log', `to read ${path}`);
  }
  const last = Buffer.concat(rest);
  if (last.length > 0) yield last;
}
