/**
 * One process at a time trains into a run directory. The lock is a file that names its holder; a holder that
 * was killed leaves it behind, and the next process finds that the holder is dead and takes its place.
 */

import { randomUUID } from 'node:crypto';
import { constants, readFileSync, readlinkSync, unlinkSync } from 'node:fs';
import {
  copyFile,
  type FileHandle,
  link,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { codeOf, UserError } from '../../util/errors.js';
import { makeFolder } from '../../util/make-folder.js';
import { explained } from '../../util/system-errors.js';
import { runPaths } from './run-directory.js';

export interface RunLock {
  readonly path: string;
  /** Removes the lock; done by itself when the process exits. */
  release(): void;
}

interface Holder {
  readonly id: string;
  readonly pid: number;
  readonly host: string;
  /** Linux: the boot, and the set of process numbers (a container has its own), that `pid` belongs to. */
  readonly boot: string | null;
  readonly pidSpace: string | null;
  /** Linux: when the process started, in ticks since the boot; tells it from a later one of the same number. */
  readonly startTicks: string | null;
}

// A holder whose process cannot be looked at (another machine or container) counts as dead when its lock was
// not refreshed for this long.
const refreshSeconds = 20;
const deadAfterSeconds = 300;

/** Claims a run directory (made if missing) for this process. UserError if a living process holds it. */
export async function claimRunDirectory(run: string): Promise<RunLock> {
  const { lock } = runPaths(run);
  const holder = thisProcess();
  const text = `${JSON.stringify(holder)}\n`;
  const beside = join(run, `.tmp-lock-${holder.id}`);
  try {
    makeFolder(run);
    await writeFile(beside, text, { flag: 'wx', flush: true });
    const now = (await stat(beside)).mtimeMs;
    await claim(lock, beside, run, now);
    await removeLeftovers(run, now);
    return hold(lock, holder.id, text, await open(lock, 'r+'));
  } catch (error) {
    throw explained(error, 'lock', `to claim the run directory ${run}`);
  } finally {
    await rm(beside, { force: true }).catch(() => {});
  }
}

/** Whether a living process trains in a run directory, as far as can be seen from here. Nothing is written. */
export async function isHeld(run: string): Promise<boolean> {
  const { lock } = runPaths(run);
  try {
    const found = await readHolder(lock);
    return found !== undefined && isAlive(found.holder, (Date.now() - found.mtimeMs) / 1000);
  } catch (error) {
    throw explained(error, 'lock', `to read ${lock}`);
  }
}

/**
 * Puts the file `mine` at `path`, where it may replace only the lock of a dead holder. Two processes that find
 * the same dead holder must not both replace it: the right to do so is itself a lock, named after that holder.
 * `now` is the time by the clock of the file system, whose other clients may have other clocks.
 */
async function claim(path: string, mine: string, run: string, now: number): Promise<void> {
  for (;;) {
    if (await putNew(mine, path)) return;
    const found = await readHolder(path);
    if (found === undefined) continue; // released meanwhile
    const ageSeconds = (now - found.mtimeMs) / 1000;
    if (isAlive(found.holder, ageSeconds)) throw heldError(path, run, found.holder, ageSeconds);

    const right = join(run, `lock.${found.holder.id}`);
    await claim(right, mine, run, now);
    try {
      if ((await readHolder(path))?.holder.id !== found.holder.id) continue; // another one was faster
      await rename(right, path);
      return;
    } finally {
      await rm(right, { force: true });
    }
  }
}

/** Removes the files of processes that were killed while they wrote into the run directory itself. */
async function removeLeftovers(run: string, now: number): Promise<void> {
  for (const name of await readdir(run)) {
    if (!name.startsWith('.tmp-') && !name.startsWith('lock.')) continue;
    const path = join(run, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: now }));
    if (now - mtimeMs > deadAfterSeconds * 1000) await rm(path, { force: true });
  }
}

/** Puts a whole file at a path where nothing is; false if something is there. A rename would replace it. */
async function putNew(mine: string, path: string): Promise<boolean> {
  try {
    await link(mine, path).catch((error) => {
      // exFAT and some network disks have no links.
      if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(codeOf(error) ?? '')) throw error;
      return copyFile(mine, path, constants.COPYFILE_EXCL);
    });
    return true;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

async function readHolder(path: string): Promise<{ holder: Holder; mtimeMs: number } | undefined> {
  let text: string;
  let mtimeMs: number;
  try {
    text = await readFile(path, 'utf8');
    ({ mtimeMs } = await stat(path));
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const holder = JSON.parse(text) as Holder;
    if (Number.isSafeInteger(holder.pid) && holder.pid > 0 && /^[0-9a-f-]{36}$/.test(holder.id)) {
      return { holder, mtimeMs };
    }
  } catch {}
  throw new UserError(
    `lock: expected ${path} to name a process, got something else; ` +
      'remove the file if nothing trains in this run directory',
  );
}

function isAlive(holder: Holder, ageSeconds: number): boolean {
  const here = thisProcess();
  if (holder.host === here.host && holder.boot !== here.boot) return false; // this machine was restarted
  if (holder.host !== here.host || holder.pidSpace !== here.pidSpace) return ageSeconds < deadAfterSeconds;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false; // EPERM: it lives, as another user
  }
  const found = readProcess(holder.pid);
  if (found === undefined) return true;
  // A zombie was killed, and its parent has not noticed.
  return found.startTicks === holder.startTicks && found.state !== 'Z' && found.state !== 'X';
}

function heldError(path: string, run: string, { pid, host }: Holder, ageSeconds: number): UserError {
  const elsewhere =
    host === hostname()
      ? ''
      : ` (last seen ${Math.max(0, Math.round(ageSeconds))} s ago; its lock ends ${deadAfterSeconds} s after that)`;
  return new UserError(
    `lock: expected ${run} to be free, got process ${pid} on ${host} training in it${elsewhere}; ` +
      `stop that process, or choose another run directory, or remove ${path} if it no longer exists`,
  );
}

function thisProcess(): Holder {
  return {
    id: randomUUID(),
    pid: process.pid,
    host: hostname(),
    boot: orNull(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()),
    pidSpace: orNull(() => readlinkSync('/proc/self/ns/pid')),
    startTicks: readProcess(process.pid)?.startTicks ?? null,
  };
}

/** /proc/<pid>/stat: `pid (name) state …`, the start time being field 22; the name may hold spaces and ')'. */
function readProcess(pid: number): { state: string; startTicks: string } | undefined {
  const line = orNull(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  if (line === null) return undefined;
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0]!, startTicks: fields[19]! };
}

function orNull(read: () => string): string | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** Keeps the lock fresh until it is released. The open handle stays with our own file, whoever replaces it. */
function hold(path: string, id: string, text: string, handle: FileHandle): RunLock {
  // Rewriting the same bytes sets the time by the clock of the file system, which utimes would not.
  const refresh = setInterval(() => {
    handle.write(text, 0).catch(() => {});
  }, refreshSeconds * 1000);
  refresh.unref();

  let held = true;
  const release = () => {
    if (!held) return;
    held = false;
    clearInterval(refresh);
    process.off('exit', release);
    handle.close().catch(() => {});
    try {
      if ((JSON.parse(readFileSync(path, 'utf8')) as Holder).id === id) unlinkSync(path);
    } catch {}
  };
  process.on('exit', release);
  return { path, release };
}
