/** The next batch is on its way to the device while one is computed; here the CPU is taken for such a device. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TrainLoader } from '../../src/data/loader.js';
import { writeSampleImages } from '../../src/data/pictures/sample-images.js';
import { type ImageFolder, indexImageFolder } from '../../src/data/sources/image-folder.js';
import { cpuDevice, type Device } from '../../src/runtime/device.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { BatchFeed } from '../../src/train/batch-feed.js';
import { ModelState } from '../../src/train/engine/model-state.js';
import { Trainer } from '../../src/train/engine/trainer.js';
import { Meter } from '../../src/train/meter.js';
import { tinyArtifacts } from './support.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-batch-feed-'));
afterAll(() => rmSync(folder, { recursive: true }));
let images: ImageFolder;
beforeAll(async () => {
  await writeSampleImages(folder, { count: 10 });
  images = await indexImageFolder(folder);
});

const memory = { name: 'Cpu', id: 0 };
const batchSize = 4; // two batches an epoch, and two images left
const steps = 5;

async function train(device: Device) {
  const { folder: artifacts, manifest } = tinyArtifacts(batchSize, { lacks: device.lacks });
  const runtime = new Runtime({ threads: 1, device });
  const state = new ModelState(manifest);
  state.initialize(3);
  const trainer = new Trainer(runtime, artifacts, state);
  const order = { seed: 1, numWorkers: 0, startEpoch: 0, startBatch: 0 };
  const loader = new TrainLoader({
    source: images,
    inputs: manifest.inputs,
    ...order,
  });
  const feed = new BatchFeed(loader, trainer, new Meter());
  const stage = vi.spyOn(trainer, 'stage');
  const losses: number[] = [];
  const batches: string[] = [];
  try {
    for (let step = 1; step <= steps; step++) {
      const batch = await feed.next();
      batches.push(`${batch.epoch}:${batch.index}`);
      losses.push(await feed.forwardBackward(batch, 0, 1));
      batch.release();
      await trainer.reduce(0);
      await trainer.update(step, { learningRate: 1e-2, weightDecay: 0.05 });
    }
    return { losses, batches, staged: stage.mock.calls.length };
  } finally {
    await loader.close();
    trainer.release();
    runtime.release();
  }
}

test('the same batches and losses as without, over the end of an epoch', async () => {
  const plain = await train(cpuDevice);
  expect(plain.staged).toBe(0);
  expect(plain.batches).toEqual(['0:0', '0:1', '1:0', '1:1', '2:0']);
  const ahead = await train({ ...cpuDevice, name: 'ahead', memory, uploadsDuringRun: true });
  expect(ahead.staged).toBeGreaterThanOrEqual(steps - 1);
  expect(ahead.batches).toEqual(plain.batches);
  expect(ahead.losses).toEqual(plain.losses);
  expect(new Set(plain.losses).size).toBe(steps);
});
