import { expect, test } from 'vitest';
import { type ArtifactOptions, buildArtifacts } from '../../src/artifact/build.js';
import { estimateMemory } from '../../src/jobs/memory-estimate.js';
import { maeTask } from '../../src/model/mae.js';
import { larsDefaults } from '../../src/model/optim/lars.js';
import { cpuDevice } from '../../src/runtime/device.js';
import { ModelState } from '../../src/train/engine/model-state.js';
import { smallModel } from '../support/small-model.js';

test.each<[string, Partial<ArtifactOptions>, number]>([
  ['AdamW: gradients and two moments', {}, 3],
  ['LARS: gradients and a momentum', { optimizer: larsDefaults }, 2],
  ['AdamW with a moving average of parameters', { emaDecay: 0.99 }, 4],
])('%s beside the parameters', (_, options, arenas) => {
  const task = maeTask(smallModel, { maskRatio: 0.75, normPixLoss: true });
  const { manifest } = buildArtifacts(task, { batchSize: 1, accumulate: false, ...options });
  const { total, trained } = manifest.arena;
  expect(estimateMemory(manifest, cpuDevice).stateBytes).toBe(4 * (total + arenas * trained));
  // what a state takes: the gradients are the trainer's
  const { parameters, averages } = new ModelState(manifest);
  const held = [parameters, ...averages.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
  expect(held).toBe(4 * (total + (arenas - 1) * trained));
});
