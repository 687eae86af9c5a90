/** Memory of a device with slices, as CUDA's, here the CPU's own taken for a device's. */
import { expect, test } from 'vitest';
import { cpuDevice, type Device } from '../../../src/runtime/device.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { ModelState } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import '../../support/allclose.js';
import { randomBatch, splitBatch, tinyArtifacts } from '../support.js';

const memory = { name: 'Cpu', id: 0 };
const lacks = { bytes: false, int64: false, inPlace: true, float32Sums: false };
const arena: Device = { ...cpuDevice, name: 'arena', memory, lacks, optimizerElements: 5000 };
const buffers: Device = { ...arena, name: 'buffers', hasArena: false };
const staging: Device = { ...arena, name: 'staging', uploadsDuringRun: true };
const batchSize = 4;

async function train(device: Device, microBatches: number) {
  const { folder, manifest } = tinyArtifacts(batchSize / microBatches, {
    accumulate: microBatches > 1,
    lacks: device.lacks,
  });
  const runtime = new Runtime({ threads: 1, device });
  const state = new ModelState(manifest);
  state.initialize(3);
  const trainer = new Trainer(runtime, folder, state);
  const losses: number[] = [];
  try {
    for (let step = 1; step <= 4; step++) {
      const all = splitBatch(randomBatch(step, batchSize, manifest), microBatches);
      for (const [i, micro] of all.entries()) {
        const loss = trainer.forwardBackward(micro, i, microBatches);
        const next = all[i + 1];
        if (next !== undefined && trainer.canStage) trainer.stage(next);
        losses.push(await loss);
      }
      await trainer.reduce(0);
      await trainer.update(step, { learningRate: 1e-3, weightDecay: 0.05, clipGrad: 1 });
    }
    const before = state.parameters.slice();
    trainer.download();
    return { losses, state, before };
  } finally {
    trainer.release();
    runtime.release();
  }
}

test.each([
  ['an arena', arena, 1],
  ['an arena', arena, 2],
  ['an arena, the next batch sent during a run', staging, 4],
  ['buffers', buffers, 1],
  ['buffers', buffers, 2],
] as const)('%s: what training on the host gives, %#', async (_, device, microBatches) => {
  const host = await train(cpuDevice, microBatches);
  const there = await train(device, microBatches);
  expect(there.losses).toBeAllclose(host.losses, { rtol: 1e-6 });
  expect(there.state.parameters).toBeAllclose(host.state.parameters, { rtol: 1e-5, atol: 1e-7 });
  expect(there.state.average('exp_avg_sq')).toBeAllclose(host.state.average('exp_avg_sq'), {
    rtol: 1e-4,
    atol: 1e-12,
  });
  // the host's numbers stay those of the start until they are asked for
  const start = new ModelState(host.state.manifest);
  start.initialize(3);
  expect(there.before).toEqual(start.parameters);
  expect(there.state.parameters).not.toEqual(start.parameters);
});
