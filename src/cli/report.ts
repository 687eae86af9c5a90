import type { Argv, Options } from 'yargs';
import { reportDefaults, writeReport } from '../jobs/report.js';
import { noteThreads, threadsFlag } from './common-flags.js';
import { type Arguments, text } from './flags.js';
import { note } from './print.js';

export const options = {
  output: {
    alias: 'o',
    type: 'string',
    default: reportDefaults.output,
    requiresArg: true,
    coerce: text('output'),
    describe: 'The page to write: one file, which loads nothing from elsewhere',
  },
  threads: threadsFlag,
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv.positional('runs', {
    type: 'string',
    array: true,
    demandOption: true,
    describe: 'Run directories, over each other in the curves',
  });
}

export async function run({
  runs,
  output,
  threads,
}: Arguments<typeof options> & { runs: string[] }): Promise<void> {
  noteThreads(threads);
  await writeReport({ runs, output, threads }, note);
  note(`wrote ${output}`);
}
