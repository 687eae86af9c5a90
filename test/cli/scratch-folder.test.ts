import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterAll, expect, test, vi } from 'vitest';
import { withScratchFolder } from '../../src/util/scratch-folder.js';
import { fileFolder } from '../support/cli-files.js';

/** Writes files until that fails; says when there are some. */
const writer = `
  const { writeFileSync } = require('node:fs');
  const { parentPort, workerData } = require('node:worker_threads');
  try {
    for (let i = 0; ; i++) {
      writeFileSync(workerData + '/' + i, '');
      if (i === 9) parentPort.postMessage('begun');
    }
  } catch (error) {
    parentPort.postMessage(error.code);
  }`;

const parent = fileFolder();
vi.stubEnv('TMPDIR', parent);
afterAll(() => vi.unstubAllEnvs());

test('a folder into which a thread still writes goes too', async () => {
  for (let i = 0; i < 20; i++) {
    let failed: Promise<unknown> = Promise.resolve();
    await withScratchFolder(async (scratch) => {
      const worker = new Worker(writer, { eval: true, workerData: scratch });
      await new Promise((resolve) => worker.once('message', resolve));
      failed = new Promise((resolve) => worker.once('message', resolve));
    });
    expect(await failed).toBe('ENOENT');
    expect(readdirSync(parent)).toEqual([]);
  }
});
