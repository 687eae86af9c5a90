import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mae, maeOk, root } from '../support/cli.js';
import { fileFolder } from '../support/cli-files.js';
import { webgpuProblem } from '../support/webgpu.js';

const folder = fileFolder();

test('it says what the machine has', async () => {
  const { stdout } = await maeOk(['doctor']);
  const { version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const row = (name: string) => new RegExp(`^ *${name} {2,}(.*)$`, 'm').exec(stdout)?.[1];
  expect(row('mae')).toBe(version);
  expect(row('node')).toContain(process.version);
  for (const name of ['koffi', 'onnxruntime-node', 'sharp', 'jpeg-js']) {
    expect(row(name), name).toBe(dependencies[name]);
  }
  expect(row('processor')).toMatch(/\d+ cores?$/);
  expect(row('memory')).toMatch(/^[\d.]+ GiB, [\d.]+ GiB free$/);
  expect(row('ONNX Runtime')).toMatch(/^\d+\.\d+\.\d+ at .*onnxruntime/);
  expect(row('CPU')).toBe('starts');
  for (const name of ['CUDA', 'WebGPU']) expect(row(name), name).toMatch(/^(starts|does not start: .+)$/);
  if (process.platform === 'linux') {
    // a software adapter is told from a GPU
    if (webgpuProblem === undefined)
      expect(row('adapter')).toMatch(/\(software\)$|, (discrete|integrated|virtual|other)$/);
    else expect(stdout).toMatch(/^ {4}adapters? {2,}.+/m);
  }
  expect(stdout).toContain('Nothing is missing for training on the CPU.');
});

test('it says what to do about a library that is not there', async () => {
  const path = join(folder, 'nowhere.so');
  const { code, stdout, stderr } = await mae(['doctor'], { env: { MAE_ONNXRUNTIME_LIBRARY: path } });
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^ONNX Runtime +not found$/m);
  expect(stdout).toContain(path);
  expect(stdout).toMatch(/^- .*run npm install again/m);
  expect(stdout).not.toContain('Nothing is missing');
});
