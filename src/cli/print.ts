import { printable } from '../util/printable.js';

/** A result, on stdout: one line, whatever names of files stand in it. */
export function print(line: string): void {
  console.log(printable(line));
}

/** What a person should know, on stderr. */
export function note(line: string): void {
  console.error(printable(line));
}
