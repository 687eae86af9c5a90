/** Training on WebGPU, here a software adapter: the CPU's numbers, nothing of it on the CPU. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { evalModelFile } from '../../src/artifact/manifest.js';
import { cpuDevice, type Device, webgpuDevice } from '../../src/runtime/device.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { Evaluator } from '../../src/train/evaluator.js';
import { ModelState, sliceOf } from '../../src/train/model-state.js';
import { Trainer } from '../../src/train/trainer.js';
import '../support/allclose.js';
import { relativeError } from '../support/allclose.js';
import { webgpuProblem } from '../support/webgpu.js';
import { randomBatch, splitBatch, tinyArtifacts } from './support.js';

const batchSize = 4;
const steps = 20;
const settings = { learningRate: 1e-3, weightDecay: 0.05, clipGrad: 1 };

/** Steps of a fresh model; its losses, norms and state, and what the evaluation graph says of it at the end. */
async function train(device: Device, microBatches: number) {
  const options = { accumulate: microBatches > 1, lacks: device.lacks };
  const { folder, manifest } = tinyArtifacts(batchSize / microBatches, options);
  const runtime = new Runtime({ threads: 1, device });
  const state = new ModelState(manifest);
  state.initialize(3);
  const trainer = new Trainer(runtime, folder, state);
  const losses: number[] = [];
  const norms: number[] = [];
  try {
    for (let step = 1; step <= steps; step++) {
      let loss = 0;
      for (const [i, micro] of splitBatch(randomBatch(step, batchSize, manifest), microBatches).entries()) {
        loss += (await trainer.forwardBackward(micro, i, microBatches)) / microBatches;
      }
      losses.push(loss);
      norms.push(trainer.gradientNorm);
      await trainer.update(step, settings);
    }
    const byName = new Map(manifest.parameters.map((parameter) => [parameter.name, parameter]));
    const evaluator = new Evaluator(runtime, readFileSync(join(folder, evalModelFile)), manifest, (name) =>
      trainer.parameter(byName.get(name)!),
    );
    const batch = randomBatch(99, manifest.batchSize, manifest);
    evaluator.images.set(batch.images);
    evaluator.idsShuffle.set(batch.idsShuffle);
    await evaluator.run();
    const evaluation = evaluator.imageLoss.slice();
    evaluator.release();
    trainer.download();
    return { losses, norms, state, evaluation };
  } finally {
    trainer.release();
    runtime.release();
  }
}

describe.skipIf(webgpuProblem !== undefined)('training on WebGPU', () => {
  test.each([1, 2])('twenty steps of %s micro-batches give the losses of the CPU', async (microBatches) => {
    const cpu = await train(cpuDevice, microBatches);
    const webgpu = await train(webgpuDevice(), microBatches);
    expect(webgpu.losses).toBeAllclose(cpu.losses, { rtol: 0, atol: 1e-4 });
    expect(webgpu.norms).toBeAllclose(cpu.norms, { rtol: 1e-3 });
    expect(webgpu.evaluation).toBeAllclose(cpu.evaluation, { rtol: 0, atol: 1e-4 });
    expect(new Set(cpu.losses).size).toBe(steps);
    for (const parameter of cpu.state.manifest.parameters) {
      const [got, wanted] = [webgpu.state, cpu.state].map(({ parameters }) => sliceOf(parameters, parameter));
      // of the keys' biases the gradient is rounding alone, of which AdamW makes steps
      if (parameter.name.endsWith('qkv.bias')) continue;
      expect(relativeError(got!, wanted!), parameter.name).toBeLessThan(1e-3);
    }
  });
});
