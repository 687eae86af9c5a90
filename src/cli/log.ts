import type { Argv, Options } from 'yargs';
import { checkArguments } from './arguments.js';

export const options = {} as const satisfies Record<string, Options>;

interface LogCommand {
  readonly options: Readonly<Record<string, Options>>;
  run(argv: unknown): Promise<void>;
}

/** The command below `mae log`. */
export function positionals(argv: Argv, args: readonly string[]): Argv {
  const load = async () => (await import('./log-export.js')) as LogCommand;
  argv.command(
    'export <run>',
    'Write the curves of a run for TensorBoard, or as CSV',
    async (below) => {
      const { options: flags } = await load();
      checkArguments(args, 'log export', flags, true);
      return below.positional('run', { type: 'string', describe: 'Run directory' }).options(flags);
    },
    async (given) => (await load()).run(given),
  );
  return argv.demandCommand(1, 'Name what to do with a log: export');
}

export async function run(): Promise<void> {}
