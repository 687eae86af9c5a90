/** Training on WebGPU, here a software adapter: the CPU's numbers, nothing of it on the CPU. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { evalModelFile, trainingModelFile } from '../../../src/artifact/manifest.js';
import { cpuDevice, type Device } from '../../../src/runtime/device.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { webgpuDevice } from '../../../src/runtime/webgpu/device.js';
import { Evaluator } from '../../../src/train/engine/evaluator.js';
import { ModelState, sliceOf } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import { buildArtifacts } from '../../support/mae-graphs.js';
import '../../support/allclose.js';
import { relativeError } from '../../support/allclose.js';
import { tinyModel } from '../../support/cli-files.js';
import { webgpuProblem } from '../../support/webgpu.js';
import { randomBatch, splitBatch, tinyArtifacts } from '../support.js';

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
      norms.push((await trainer.reduce(loss)).gradientNorm);
      await trainer.update(step, settings);
    }
    const byName = new Map(manifest.parameters.map((parameter) => [parameter.name, parameter]));
    const evaluator = new Evaluator(runtime, readFileSync(join(folder, evalModelFile)), manifest, (name) =>
      trainer.parameter(byName.get(name)!),
    );
    const batch = randomBatch(99, manifest.batchSize, manifest);
    await evaluator.run(batch);
    const evaluation = evaluator.outputs['image_loss']!.slice();
    evaluator.release();
    trainer.download();
    return { losses, norms, state, evaluation };
  } finally {
    trainer.release();
    runtime.release();
  }
}

interface ProfiledNode {
  readonly op_name: string;
  readonly provider: string;
}

function nodesOfProfile(path: string): ProfiledNode[] {
  const events = JSON.parse(readFileSync(path, 'utf8')) as {
    cat: string;
    name: string;
    args: ProfiledNode;
  }[];
  return events
    .filter(({ cat, name }) => cat === 'Node' && name.endsWith('_kernel_time'))
    .map(({ args }) => args);
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

  test('every node runs there, and nothing is copied between them', async () => {
    const { folder, manifest } = tinyArtifacts(2, { accumulate: true, lacks: webgpuDevice().lacks });
    const prefix = join(folder, 'profile');
    const runtime = new Runtime({ threads: 1, device: webgpuDevice(), profilePrefix: prefix });
    const state = new ModelState(manifest);
    state.initialize(3);
    const trainer = new Trainer(runtime, folder, state);
    await trainer.forwardBackward(randomBatch(1, 2, manifest), 0, 1);
    await trainer.reduce(0);
    await trainer.update(1, settings);
    const model = readFileSync(join(folder, evalModelFile));
    const evaluator = new Evaluator(runtime, model, manifest, (name) =>
      sliceOf(state.parameters, manifest.parameters.find((parameter) => parameter.name === name)!),
    );
    await evaluator.run();
    evaluator.release();
    trainer.release(); // a session writes its profile when it ends
    runtime.release();
    const profiles = readdirSync(folder).filter((name) => name.startsWith('profile'));
    expect(profiles.length).toBe(4);
    for (const name of profiles) {
      const nodes = nodesOfProfile(join(folder, name));
      expect(nodes.length, name).toBeGreaterThan(10);
      expect(nodes.filter(({ provider }) => provider !== 'WebGpuExecutionProvider')).toEqual([]);
      expect(nodes.filter(({ op_name }) => op_name.startsWith('Memcpy'))).toEqual([]);
    }
  });

  test.each([
    ['gradient checkpointing', { gradCheckpointing: true }],
    ['fewer predictions', { predictRatio: 0.5 }],
    ['plain pixels', { normPixLoss: false }],
  ])('a training graph with %s has no node for the CPU', (_, change) => {
    const options = { batchSize: 2, maskRatio: 0.75, normPixLoss: true, accumulate: true, ...change };
    const runtime = new Runtime({ device: webgpuDevice() });
    const create = (lacks: Device['lacks'] | undefined) => {
      const { files } = buildArtifacts(tinyModel, { ...options, lacks });
      runtime.createSession(files.get(trainingModelFile)!).release();
    };
    create(webgpuDevice().lacks);
    // an error, not a fall back
    expect(() => create(undefined)).toThrow(/CPU EP/);
    runtime.release();
  });

  test('memory does not grow with steps', async () => {
    const { folder, manifest } = tinyArtifacts(2, { accumulate: true, lacks: webgpuDevice().lacks });
    const runtime = new Runtime({ threads: 1, device: webgpuDevice() });
    const state = new ModelState(manifest);
    state.initialize(3);
    const trainer = new Trainer(runtime, folder, state);
    const sizes: number[] = [];
    for (let step = 1; step <= 75; step++) {
      await trainer.forwardBackward(randomBatch(step, 2, manifest), 0, 1);
      await trainer.reduce(0);
      await trainer.update(step, settings);
      sizes.push(process.memoryUsage.rss() / 2 ** 20);
    }
    trainer.release();
    runtime.release();
    const shown = sizes.filter((_, i) => i % 10 === 9).map((size) => size.toFixed(1));
    expect(sizes[74]! - sizes[24]!, `MiB in 50 steps: ${shown}`).toBeLessThan(10);
  });
});
