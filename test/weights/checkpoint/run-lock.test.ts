import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/util/errors.js';
import { claimRunDirectory } from '../../../src/weights/checkpoint/run-lock.js';
import { childScript, compileChildren, endOf, startChild } from './spawn.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-lock-'));
let compiled: string;
beforeAll(() => {
  compiled = compileChildren();
});
afterAll(() => {
  rmSync(folder, { recursive: true });
  rmSync(compiled, { recursive: true });
});

let run: string;
let lock: string;
let runs = 0;
const children: ChildProcess[] = [];
beforeEach(() => {
  run = join(folder, `run-${runs++}`);
  lock = join(run, 'lock');
});
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

/** A process that holds the run directory. */
async function holder(): Promise<ChildProcess> {
  const child = startChild(compiled, 'hold', run);
  children.push(child);
  await once(child.stdout!, 'data');
  return child;
}

/** The lock of a process like the one that wrote this one, but for some fields. */
function forge(fields: Record<string, unknown>, ageSeconds = 0): void {
  const written = JSON.parse(readFileSync(lock, 'utf8'));
  const id = 'ffffffff-0000-4000-8000-000000000000';
  writeFileSync(lock, JSON.stringify({ ...written, id, ...fields }));
  utimesSync(lock, new Date(), new Date(Date.now() - ageSeconds * 1000));
}

describe('a run directory', () => {
  it('is held by one at a time, in this process and between processes', async () => {
    const held = await claimRunDirectory(run);
    const error = await claimRunDirectory(run).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(`lock: expected ${run} to be free, got process ${process.pid} on `);
    held.release();
    expect(readdirSync(run)).toEqual([]);

    const child = await holder();
    await expect(claimRunDirectory(run)).rejects.toThrow(`got process ${child.pid} on `);
    expect(readdirSync(run)).toEqual(['lock']);
  });

  it.runIf(process.platform === 'linux')('is free after its holder became a zombie', async () => {
    // `sleep` takes the place of the shell and never asks what became of the shell's child.
    const script = `"${process.execPath}" "${childScript(compiled)}" hold "${run}" & exec sleep 1000`;
    const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    children.push(parent);
    await once(parent.stdout, 'data');
    const { pid } = JSON.parse(readFileSync(lock, 'utf8'));
    process.kill(pid, 'SIGKILL');
    while (!readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')) await setImmediate();
    (await claimRunDirectory(run)).release();
    expect(existsSync(lock)).toBe(false);
  });

  it('goes to exactly one of many that find a dead holder', async () => {
    const child = await holder();
    child.kill('SIGKILL');
    await once(child, 'close');
    const claims = await Promise.allSettled(Array.from({ length: 20 }, () => claimRunDirectory(run)));
    const held = claims.filter((claim) => claim.status === 'fulfilled');
    expect(held).toHaveLength(1);
    expect(readdirSync(run)).toEqual(['lock']);
    held[0]!.value.release();
  });

  it('is taken from one who died while it took over', async () => {
    await claimRunDirectory(run);
    forge({ pid: 2 ** 22 + 1 });
    const right = `${lock}.ffffffff-0000-4000-8000-000000000000`;
    writeFileSync(right, readFileSync(lock, 'utf8').replace('ffffffff', 'eeeeeeee'));
    const held = await claimRunDirectory(run);
    expect(readdirSync(run)).toEqual(['lock']);
    held.release();
  });

  it('is free after others died at any moment while they took over, and is clean later', async () => {
    let operation = 1;
    for (; ; operation++) {
      (await holder()).kill('SIGKILL');
      const { signal } = await endOf(startChild(compiled, 'claim', run, '0', `${operation}`));
      (await claimRunDirectory(run)).release();
      if (signal !== 'SIGKILL') break;
    }
    expect(operation).toBeGreaterThan(5);

    const old = new Date(Date.now() - 301_000);
    for (const name of readdirSync(run)) utimesSync(join(run, name), old, old);
    const held = await claimRunDirectory(run);
    expect(readdirSync(run)).toEqual(['lock']);
    held.release();
  });

  it.runIf(process.platform === 'linux')(
    'is free when its process number belongs to another now',
    async () => {
      await claimRunDirectory(run);
      forge({ startTicks: '1' });
      (await claimRunDirectory(run)).release();
    },
  );

  it.runIf(process.platform === 'linux')('is free when the machine was restarted', async () => {
    await claimRunDirectory(run);
    forge({ boot: 'another' });
    (await claimRunDirectory(run)).release();
  });

  it('of another machine is free when that was silent for five minutes', async () => {
    await claimRunDirectory(run);
    forge({ host: 'elsewhere' }, 200);
    await expect(claimRunDirectory(run)).rejects.toThrow(
      /on elsewhere training in it \(last seen 20\d s ago/,
    );
    forge({ host: 'elsewhere' }, 301);
    (await claimRunDirectory(run)).release();
  });

  it('whose lock is something else, or that is a file, is an error for the user', async () => {
    await claimRunDirectory(run);
    writeFileSync(lock, '');
    await expect(claimRunDirectory(run)).rejects.toThrow('remove the file if nothing trains');
    await expect(claimRunDirectory(lock)).rejects.toThrow('to claim the run directory');
  });
});
