/** Runs the compiled command line (`bin/mae.js` over `dist/`) in processes of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, onTestFinished } from 'vitest';

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const maeScript = fileURLToPath(new URL('../../bin/mae.js', import.meta.url));

/** Instead of the user's: indices of image folders. It goes when the file's tests have ended. */
export const cacheFolder = mkdtempSync(join(tmpdir(), 'mae-cache-'));
afterAll(() => rmSync(cacheFolder, { recursive: true, force: true }));

export interface Ended {
  /** Exit code, or null where a signal ended the process. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Place {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A command that goes on while the test looks at it; it does not outlive the test. */
export class RunningMae {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  #stdout = '';
  #stderr = '';

  constructor(args: readonly string[], { cwd, env }: Place = {}) {
    this.child = spawn(process.execPath, [maeScript, ...args], {
      cwd,
      env: { ...process.env, XDG_CACHE_HOME: cacheFolder, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.ended = once(this.child, 'close').then(([code, signal]) => ({
      code,
      signal,
      stdout: this.#stdout,
      stderr: this.#stderr,
    }));
  }

  /** Waits until its stderr holds the pattern; an error if it ends before that. */
  async untilStderr(pattern: RegExp): Promise<RegExpExecArray> {
    let hasEnded = false;
    const end = this.ended.then(() => {
      hasEnded = true;
    });
    for (;;) {
      const found = pattern.exec(this.#stderr);
      if (found !== null) return found;
      if (hasEnded) throw new Error(`mae ended before it printed ${pattern}:\n${this.#stderr}`);
      await Promise.race([once(this.child.stderr!, 'data'), end]);
    }
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }
}

/** Starts a command inside a test, which kills it if it still runs at the end. */
export function startMae(args: readonly string[], place?: Place): RunningMae {
  const running = new RunningMae(args, place);
  onTestFinished(async () => {
    running.kill('SIGKILL');
    await running.ended;
  });
  return running;
}

/** Runs a command to its end. */
export function mae(args: readonly string[], place?: Place): Promise<Ended> {
  return new RunningMae(args, place).ended;
}

/** Runs a command that has to succeed. */
export async function maeOk(args: readonly string[], place?: Place): Promise<Ended> {
  const ended = await mae(args, place);
  if (ended.code !== 0) {
    throw new Error(`mae ${args.join(' ')}: exit code ${ended.code} ${ended.signal ?? ''}\n${ended.stderr}`);
  }
  return ended;
}

/** Runs a command that has to fail as a user's mistake does; returns its one line without `mae: `. */
export async function maeError(args: readonly string[], place?: Place): Promise<string> {
  const { code, signal, stdout, stderr } = await mae(args, place);
  // a run that has begun says so before it fails
  const lines = stderr.split('\n').filter((line) => line !== '');
  const last = lines.at(-1) ?? '';
  const others = lines.filter((line) => line.startsWith('mae: ') || /^\s+at |internal:/.test(line));
  if (code !== 1 || signal !== null || !stderr.endsWith('\n') || others.length !== 1 || others[0] !== last) {
    throw new Error(
      `mae ${args.join(' ')}: expected exit code 1 and one last line that starts with "mae: ", ` +
        `got ${code ?? signal}\n${stdout}\n${stderr}`,
    );
  }
  return last.slice('mae: '.length);
}

/** As maeError, and that line is all that is printed. */
export async function maeOneLine(args: readonly string[], place?: Place): Promise<string> {
  const { code, stdout, stderr } = await mae(args, place);
  const match = /^mae: (.+)\n$/.exec(stderr);
  if (code !== 1 || stdout !== '' || match === null) {
    throw new Error(
      `mae ${args.join(' ')}: expected exit code 1 and one line "mae: …" alone, got ${code}\n${stdout}\n${stderr}`,
    );
  }
  return match[1]!;
}
