import type { Options } from 'yargs';
import { exportLog, logFormats } from '../jobs/export-log.js';
import { type Arguments, choice, text } from './flags.js';
import { note, print } from './print.js';

export const options = {
  format: {
    type: 'string',
    demandOption: true,
    requiresArg: true,
    coerce: choice('format', logFormats),
    describe:
      'tensorboard: an event file, with the sheets of pictures; csv: a row for each step that was logged',
  },
  output: {
    alias: 'o',
    type: 'string',
    requiresArg: true,
    coerce: text('output'),
    describe:
      'Folder of the event file (default: tensorboard/ of the run), or the CSV file (default: it is printed)',
  },
} as const satisfies Record<string, Options>;

export async function run({
  run,
  format,
  output,
}: Arguments<typeof options> & { run: string }): Promise<void> {
  const written = await exportLog({ run, format, output }, print);
  if (written !== undefined) note(`wrote ${written}`);
}
