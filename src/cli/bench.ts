import type { Argv, Options } from 'yargs';
import { checkArguments } from './arguments.js';

export const options = {} as const satisfies Record<string, Options>;

interface Benchmark {
  readonly options: Readonly<Record<string, Options>>;
  run(argv: unknown): Promise<void>;
}

const benchmarks: readonly [name: string, description: string, load: () => Promise<unknown>][] = [
  ['step', 'Time training steps, without data and with it', () => import('./bench-step.js')],
  ['data', 'Time the loader alone', () => import('./bench-data.js')],
  ['bytes', 'Count the bytes that each operator of a training step moves', () => import('./bench-bytes.js')],
  ['startup', 'Time the way to the first step', () => import('./bench-startup.js')],
];

/** The commands below `mae bench`. */
export function positionals(argv: Argv, args: readonly string[]): Argv {
  for (const [name, description, load] of benchmarks) {
    argv.command(
      name,
      description,
      async (below) => {
        const benchmark = (await load()) as Benchmark;
        checkArguments(args, `bench ${name}`, benchmark.options, false);
        return below.options(benchmark.options);
      },
      async (given) => ((await load()) as Benchmark).run(given),
    );
  }
  return argv.demandCommand(1, 'Name what to measure: step, data, bytes or startup');
}

export async function run(): Promise<void> {}
