import { appendFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf } from '../../util/errors.js';
import { makeFolder } from '../../util/make-folder.js';
import { runPaths } from '../../weights/checkpoint/run-directory.js';
import { fileStart, sessionStart } from '../event-file.js';
import { eventFileName, eventFileSeconds, eventOf, firstStep } from '../event-log.js';
import { type LogLine, logLines } from '../log-file.js';
import type { RunEvents, RunObserver } from '../observer.js';

/**
 * Event files for TensorBoard, made of the lines of the log. Each process that goes on with a run begins one, whose first
 * words make readers forget what a killed process wrote after that step. A file that cannot be written ends no run: it is
 * noted, and the log has all of it.
 */
export class TensorBoardLog implements RunObserver {
  readonly #run: string;
  readonly #note: (line: string) => void;
  #firstStep = 0;
  /** The file of this process, once something is in it; null after a failure. */
  #file: string | undefined | null;

  constructor(run: string, note: (line: string) => void) {
    this.#run = run;
    this.#note = note;
  }

  /** A run that had no event files until now gets what its log has. */
  async started({ step, resumedFrom }: RunEvents['started']): Promise<void> {
    this.#firstStep = firstStep(step, resumedFrom !== undefined);
    if (resumedFrom === undefined || this.#eventFiles().length > 0) return;
    this.#firstStep = 0;
    for await (const lines of logLines(runPaths(this.#run).log)) {
      for (const line of lines) this.#add(line, Date.parse(`${line['time']}`) / 1000);
    }
  }

  /** A line as it was just written to the log. */
  add(line: LogLine): void {
    if (line.type !== 'start') this.#add(line, Date.now() / 1000); // the file begins with that
  }

  #add(line: LogLine, wallTime: number): void {
    if (this.#file === null) return;
    const event = eventOf(line, wallTime, this.#run);
    if (event === undefined) return;
    try {
      this.#file ??= this.#begin(wallTime);
      appendFileSync(this.#file, event);
    } catch (error) {
      this.#file = null;
      const reason = codeOf(error) ?? messageOf(error);
      this.#note(
        `tensorboard: cannot write to ${runPaths(this.#run).tensorboard} (${reason}); it gets nothing more until the ` +
          'run is resumed, and mae log export makes it anew from log.jsonl',
      );
    }
  }

  /** TensorBoard reads files in the order of their names. */
  #begin(wallTime: number): string {
    const { tensorboard } = runPaths(this.#run);
    makeFolder(tensorboard);
    const last = Math.max(0, ...this.#eventFiles().map((name) => eventFileSeconds(name)!));
    const file = join(tensorboard, eventFileName(Math.max(last + 1, Math.floor(wallTime))));
    appendFileSync(file, Buffer.concat([fileStart(wallTime), sessionStart(wallTime, this.#firstStep)]));
    return file;
  }

  #eventFiles(): string[] {
    return eventFilesOf(runPaths(this.#run).tensorboard);
  }
}

/** The names of the event files in a folder, if it is there. */
export function eventFilesOf(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => eventFileSeconds(name) !== undefined);
  } catch {
    return [];
  }
}
