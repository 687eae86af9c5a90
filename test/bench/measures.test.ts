import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { matmulFlops } from '../../src/artifact/flops.js';
import { gemmPeak } from '../../src/bench/gemm-peak.js';
import { readProfile } from '../../src/bench/profile.js';
import { median } from '../../src/bench/statistics.js';
import { input } from '../../src/compiler/graph/graph.js';
import { gemm, matMul } from '../../src/compiler/graph/ops/linalg.js';
import { expandDefinitions } from '../../src/compiler/lowering/expand.js';
import { loadModelConfig } from '../../src/model/presets.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { trainingGraph } from '../support/mae-graphs.js';

test('median', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
});

test('operations of products: 2mnk, whichever way their inputs lie', () => {
  const value = (...shape: number[]) => input('x', 'float32', shape);
  const flops = (output: ReturnType<typeof value>) =>
    matmulFlops({ name: 'graph', inputs: [], outputs: [{ name: 'y', value: output }] });
  expect(flops(gemm(value(5, 7), value(7, 3)))).toBe(2 * 5 * 7 * 3);
  expect(flops(gemm(value(7, 5), value(3, 7), { transA: true, transB: true }))).toBe(2 * 5 * 7 * 3);
  expect(flops(matMul(value(2, 4, 5, 7), value(7, 3)))).toBe(2 * 4 * 2 * 5 * 7 * 3);
});

test('a training step of ViT-B costs what its layers say', () => {
  const graph = trainingGraph(loadModelConfig('mae_vit_base_patch16'), 1, {
    kept: 49,
    normPixLoss: true,
    accumulate: false,
  });
  // linear layers, 2 · tokens · fan in · fan out, thrice for a step: forward, dX and dW
  const block = (width: number, tokens: number) => 2 * tokens * 12 * width ** 2;
  const linear =
    12 * block(768, 50) +
    8 * block(512, 197) +
    2 * 50 * 768 * 512 + // decoder_embed
    2 * 147 * 512 * 768; // decoder_pred
  const embedding = 2 * 49 * 768 * 768; // has no dX
  const products = 3 * linear + 2 * embedding;
  // scores and weighted sums: 2 products forward, 4 backward
  const attention = 6 * (12 * 2 * 50 ** 2 * 768 + 8 * 2 * 197 ** 2 * 512);
  const measured = matmulFlops(expandDefinitions(graph));
  // the last block's visible tokens are not read, and attention may be made again backward
  expect(measured / (products + attention)).toBeGreaterThan(0.95);
  expect(measured / (products + attention)).toBeLessThan(1.05);
});

test('the peak is that of a large Gemm', async () => {
  const runtime = new Runtime();
  try {
    expect(await gemmPeak(runtime)).toBeGreaterThan(1);
    // the graph of a card's half precision, which a processor computes slowly
    expect(await gemmPeak(runtime, { graphPrecision: 'fp16' })).toBeGreaterThan(0.1);
  } finally {
    runtime.release();
  }
});

test('a profile by operator', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mae-profile-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const node = (name: string, op: string, dur: number) => ({
    cat: 'Node',
    name,
    dur,
    args: { op_name: op },
  });
  const events = [
    { cat: 'Session', name: 'model_run', dur: 99 },
    node('a_fence_before', 'Gemm', 50),
    node('a_kernel_time', 'Gemm', 3000),
    node('b_kernel_time', 'Add', 1000),
    node('c_kernel_time', 'Gemm', 4000),
  ];
  writeFileSync(join(folder, 'p-1_2026.json'), JSON.stringify(events));
  const operators = readProfile(join(folder, 'p-1_'), 2);
  expect(operators.map(({ operator, calls }) => [operator, calls])).toEqual([
    ['Gemm', 1],
    ['Add', 0.5],
  ]);
  expect(operators[0]!.seconds).toBeCloseTo(0.0035);
  expect(operators[0]!.share).toBeCloseTo(7 / 8);
  expect(() => readProfile(join(folder, 'p-2_'), 2)).toThrow('expected a profile');
});
