/** How long a start takes, each part in a process of its own: code that has run before is faster. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compiledFile } from '../util/compiled.js';
import type { StartupStages } from './startup-child.js';
import { median } from './statistics.js';

export interface StartupBenchmarkOptions {
  /** A preset's name or the path of a JSON file. */
  readonly model: string;
  readonly batchSize: number;
  readonly threads: number;
  readonly repeats: number;
  /** The command's own script, for `mae --help` and a first step. */
  readonly maeScript: string;
  /** Images for the first step. */
  readonly dataPath: string;
  /** A folder to write to, the caller's to remove. */
  readonly scratch: string;
}

/** Medians, in seconds. */
export interface StartupBenchmark {
  readonly help: number;
  readonly stages: Readonly<Record<keyof StartupStages, number>>;
  /** From the start of `mae pretrain` to the end of its first step. */
  readonly firstStep: number;
}

export async function benchmarkStartup(options: StartupBenchmarkOptions): Promise<StartupBenchmark> {
  const { repeats, maeScript } = options;
  const help: number[] = [];
  const stages: StartupStages[] = [];
  const firstStep: number[] = [];
  for (let i = 0; i < repeats; i++) {
    for (let j = 0; j < 3; j++) help.push((await run([maeScript, '--help'])).seconds);
    stages.push(await runStages(options));
    firstStep.push(await runFirstStep(options));
  }
  const names = Object.keys(stages[0]!) as (keyof StartupStages)[];
  return {
    help: median(help),
    stages: Object.fromEntries(
      names.map((name) => [name, median(stages.map((one) => one[name]))]),
    ) as Readonly<Record<keyof StartupStages, number>>,
    firstStep: median(firstStep),
  };
}

async function runStages({
  model,
  batchSize,
  threads,
  scratch,
}: StartupBenchmarkOptions): Promise<StartupStages> {
  const script = fileURLToPath(compiledFile('bench/startup-child.js'));
  const { stdout } = await run([script, JSON.stringify({ model, batchSize, threads, folder: scratch })]);
  return JSON.parse(stdout) as StartupStages;
}

/** Seconds until `mae pretrain` says that its first step is done; what it does after that is cut off. */
async function runFirstStep(options: StartupBenchmarkOptions): Promise<number> {
  const output = join(options.scratch, 'run');
  const flags = {
    'data-path': options.dataPath,
    'output-dir': output,
    model: options.model,
    'batch-size': options.batchSize,
    threads: options.threads,
    'max-steps': 1,
    epochs: 1,
    'warmup-epochs': 0,
  };
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  try {
    // the index of the images goes with the rest
    const env = { ...process.env, XDG_CACHE_HOME: options.scratch };
    const { seconds } = await run([options.maeScript, 'pretrain', ...args], env, /^step 1\/1 /m);
    return seconds;
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

/** Runs Node to its end, or until stderr holds a pattern: then the process is killed. */
async function run(
  args: readonly string[],
  env = process.env,
  until?: RegExp,
): Promise<{ stdout: string; seconds: number }> {
  const start = performance.now();
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill);
  try {
    const { code, stdout, stderr, foundAt } = await outputOf(child, until);
    if (until === undefined ? code !== 0 : foundAt === undefined) {
      throw new Error(`bench: node ${args.join(' ')} ended with ${code}\n${stderr}`);
    }
    return { stdout, seconds: ((foundAt ?? performance.now()) - start) / 1000 };
  } finally {
    process.off('exit', kill);
    kill();
  }
}

async function outputOf(child: ChildProcess, until: RegExp | undefined) {
  let stdout = '';
  let stderr = '';
  let foundAt: number | undefined;
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (foundAt !== undefined || until?.test(stderr) !== true) return;
    foundAt = performance.now();
    child.kill('SIGKILL');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr, foundAt };
}
