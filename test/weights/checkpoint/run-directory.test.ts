import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { messageOf, UserError } from '../../../src/util/errors.js';
import { RandomStream } from '../../../src/util/random.js';
import { writeJsonAtomically } from '../../../src/weights/checkpoint/durable-files.js';
import { resolveCheckpoint } from '../../../src/weights/checkpoint/resolve-checkpoint.js';
import {
  latestCheckpoint,
  runPaths,
  writeCheckpoint,
} from '../../../src/weights/checkpoint/run-directory.js';
import { writeSafetensors } from '../../../src/weights/checkpoint/safetensors.js';
import { readState, writeState } from '../../../src/weights/checkpoint/state.js';
import { compileChildren, endOf, startChild } from './spawn.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-run-'));
afterAll(() => rmSync(folder, { recursive: true }));

let run: string;
let runs = 0;
beforeEach(() => {
  run = join(folder, `run-${runs++}`);
});

/** Writes a checkpoint whose every file holds `content`. */
const fill = (content: string) => async (into: string) => {
  writeFileSync(join(into, 'model.safetensors'), content);
  writeFileSync(join(into, 'optimizer.safetensors'), content);
  await writeState(into, { step: 1, content });
};
const names = () => readdirSync(runPaths(run).checkpoints).sort();
const contentOfLatest = async () => (await readState((await latestCheckpoint(run))!.folder))['content'];

describe('writing checkpoints', () => {
  it('keeps the newest and names the last', async () => {
    expect(await latestCheckpoint(run)).toBeUndefined();
    for (const step of [5, 9, 10, 100]) await writeCheckpoint(run, step, fill(`${step}`), 2);
    expect(names()).toEqual(['latest', 'step-10', 'step-100']);
    expect(readFileSync(runPaths(run).latest, 'utf8')).toBe('step-100\n');
    expect(await latestCheckpoint(run)).toEqual({ folder: join(run, 'checkpoints', 'step-100'), step: 100 });
  });

  it('replaces a step that is saved again, and leaves the later ones until then', async () => {
    for (const step of [1, 2, 3]) await writeCheckpoint(run, step, fill(`old ${step}`), 3);
    await writeCheckpoint(run, 1, fill('new 1'), 1);
    expect(names()).toEqual(['latest', 'step-1', 'step-2', 'step-3']);
    expect(await contentOfLatest()).toBe('new 1');
    await writeCheckpoint(run, 1, fill('newest 1'), 1);
    expect(await contentOfLatest()).toBe('newest 1');
    await writeCheckpoint(run, 2, fill('new 2'), 1);
    expect(names()).toEqual(['latest', 'step-2', 'step-3']);
    expect(await contentOfLatest()).toBe('new 2');
  });

  it('removes what killed processes left', async () => {
    mkdirSync(join(run, 'checkpoints', '.tmp-step-1-99'), { recursive: true });
    mkdirSync(join(run, 'checkpoints', '.replaced-step-1'));
    await writeCheckpoint(run, 2, fill('2'), 1);
    expect(names()).toEqual(['latest', 'step-2']);
  });

  it('passes a bug on as it is, and leaves nothing of the attempt', async () => {
    await writeCheckpoint(run, 1, fill('1'), 1);
    const bug = new TypeError('a bug');
    await expect(writeCheckpoint(run, 2, () => Promise.reject(bug), 1)).rejects.toBe(bug);
    await expect(writeCheckpoint(run, 2, async () => {}, 1)).rejects.toThrow('not all written');
    expect(names()).toEqual(['latest', 'step-1']);
  });

  it('tells a user when the run directory is a file', async () => {
    writeFileSync(run, '');
    const error = await writeCheckpoint(run, 1, fill('1'), 1).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain('got ENOTDIR; a part of this path is a file');
  });
});

describe('finding the latest checkpoint', () => {
  beforeEach(async () => {
    for (const step of [9, 10]) await writeCheckpoint(run, step, fill(`${step}`), 2);
  });

  it.each(['', 'step-11\n', 'step-9/../step-10', '\0\0\0'])(
    'falls back from a latest of %j',
    async (text) => {
      writeFileSync(runPaths(run).latest, text);
      expect((await latestCheckpoint(run))?.step).toBe(10);
    },
  );

  it('falls back to the newest that is whole', async () => {
    rmSync(join(run, 'checkpoints', 'step-10', 'state.json'));
    mkdirSync(join(run, 'checkpoints', 'step-11'));
    expect((await latestCheckpoint(run))?.step).toBe(9);
    rmSync(runPaths(run).latest);
    expect((await latestCheckpoint(run))?.step).toBe(9);
  });
});

describe('what a person may point at', () => {
  it('a run, its checkpoints, latest, one checkpoint, its model, a model elsewhere', async () => {
    await writeCheckpoint(run, 7, fill('7'), 2);
    await writeJsonAtomically(runPaths(run).config, {});
    const checkpoint = join(run, 'checkpoints', 'step-7');
    const whole = {
      modelPath: join(checkpoint, 'model.safetensors'),
      folder: checkpoint,
      statePath: join(checkpoint, 'state.json'),
      runFolder: run,
      configPath: join(run, 'config.json'),
    };
    for (const path of ['', 'checkpoints', 'checkpoints/latest', 'checkpoints/step-7']) {
      expect(await resolveCheckpoint(join(run, path))).toEqual(whole);
    }
    expect(await resolveCheckpoint(whole.modelPath)).toEqual(whole);
    const alone = join(folder, 'alone.safetensors');
    writeFileSync(alone, '');
    expect(await resolveCheckpoint(alone)).toEqual({ modelPath: alone });
  });

  it('anything else is an error that lists what was looked for', async () => {
    mkdirSync(run);
    await expect(resolveCheckpoint(run)).rejects.toThrow(
      `got none of ${run}/model.safetensors, ${run}/checkpoints/latest, ${run}/checkpoints/step-*; check the path`,
    );
    await expect(resolveCheckpoint(join(run, 'no'))).rejects.toThrow('got ENOENT; check the spelling');
    writeFileSync(join(run, 'a.txt'), '');
    await expect(resolveCheckpoint(join(run, 'a.txt'))).rejects.toThrow('got a file of another kind');
  });
});

describe('state.json', () => {
  it('returns what was written, as readable JSON', async () => {
    mkdirSync(run);
    await writeState(run, { step: 3, epoch: 0.5, nested: [1, null] });
    expect(await readState(run)).toEqual({ step: 3, epoch: 0.5, nested: [1, null] });
    expect(readFileSync(join(run, 'state.json'), 'utf8')).toMatch(
      /^{\n {2}"format": "mae-state",\n(.*\n)+}\n$/,
    );
  });

  it.each([
    ['{', 'got no JSON'],
    ['null', 'got JSON of something else'],
    ['{"step":1}', 'got JSON of something else'],
    [
      '{"format":"mae-state","version":2,"step":1}',
      'got version 2 where this program reads 1; use the version',
    ],
    ['{"format":"mae-state","version":1,"step":-1}', 'got the step -1'],
  ])('%s is an error for the user', async (text, message) => {
    mkdirSync(run);
    writeFileSync(join(run, 'state.json'), text);
    const error = await readState(run).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(message);
  });
});

describe('a full disk', () => {
  it('that is pretended leaves the old checkpoint whole', async () => {
    await writeCheckpoint(run, 1, fill('1'), 1);
    const full = Object.assign(new Error('no space'), { code: 'EDQUOT' });
    const error = await writeCheckpoint(run, 2, () => Promise.reject(full), 1).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(
      /^checkpoint: expected about .* B \(as step-1 has\) for step-2 in .*, got EDQUOT with .* free; free some/,
    );
    expect(names()).toEqual(['latest', 'step-1']);
  });

  it('of 2 MiB leaves the old checkpoint whole, and works again with fewer bytes', async ({ skip }) => {
    mkdirSync(run);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', run], { stdio: 'pipe' });
    } catch (error) {
      console.warn(`skipped, no small disk can be mounted here: ${messageOf(error)}`);
      return skip('cannot mount a tmpfs');
    }
    try {
      const ofBytes = (bytes: number) => async (into: string) => {
        const tensor = { name: 'a', dtype: 'U8', shape: [bytes], data: new Uint8Array(bytes) } as const;
        await writeSafetensors(join(into, 'model.safetensors'), [tensor]);
        await writeSafetensors(join(into, 'optimizer.safetensors'), [tensor]);
        await writeState(into, { step: 1, content: bytes });
      };
      await writeCheckpoint(run, 1, ofBytes(400_000), 1);
      const error = await writeCheckpoint(run, 2, ofBytes(1_500_000), 1).catch((e) => e);
      expect(error).toBeInstanceOf(UserError);
      expect(error.message).toMatch(
        /more than 1\.\d MiB .* got ENOSPC with 1\.\d MiB free.*step-1 is still whole$/,
      );
      expect(names()).toEqual(['latest', 'step-1']);
      expect(await contentOfLatest()).toBe(400_000);
      await writeCheckpoint(run, 2, ofBytes(300_000), 1);
      expect(await contentOfLatest()).toBe(300_000);
    } finally {
      execFileSync('umount', [run]);
    }
  });
});

describe('a process that is killed while it saves', () => {
  let compiled: string;
  beforeAll(() => {
    compiled = compileChildren();
  });
  afterAll(() => rmSync(compiled, { recursive: true, force: true }));

  async function expectWhole(): Promise<number> {
    const latest = await latestCheckpoint(run);
    if (latest === undefined) return 0;
    const { step, sha256 } = await readState(latest.folder);
    expect(step).toBe(latest.step);
    for (const part of ['model', 'optimizer']) {
      const content = readFileSync(join(latest.folder, `${part}.safetensors`), 'utf8').slice(part.length + 1);
      expect(createHash('sha256').update(content).digest('hex')).toBe(sha256);
    }
    return latest.step;
  }

  it('leaves a whole latest checkpoint, before whichever file operation it dies', async () => {
    let step = 0;
    let kills = 0;
    for (;;) {
      const { printed, signal } = await endOf(startChild(compiled, 'save', run, '2', `${kills + 1}`));
      const now = await expectWhole();
      expect(now).toBeGreaterThanOrEqual(step);
      step = now;
      if (signal !== 'SIGKILL') {
        expect(printed).toBe('claimed\ndone\n');
        break;
      }
      kills++;
    }
    expect(kills).toBeGreaterThan(30);
    expect(names().filter((name) => name.startsWith('.'))).toEqual([]);
    expect(existsSync(runPaths(run).lock)).toBe(false);
  });

  it('leaves a whole latest checkpoint when it dies at random moments, ten and until there is one', async () => {
    const random = new RandomStream(0, 'sample');
    let step = 0;
    for (let kill = 0; kill < 10 || step === 0; kill++) {
      const child = startChild(compiled, 'save', run, '1000000');
      child.stdout!.once('data', () => setTimeout(() => child.kill('SIGKILL'), random.uniform(0, 80)));
      expect((await endOf(child)).signal).toBe('SIGKILL');
      const now = await expectWhole();
      expect(now).toBeGreaterThanOrEqual(step);
      step = now;
    }
  });
});
