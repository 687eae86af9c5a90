/**
 * `node cuda-session.mjs '{"model": …, "batchSize": …, "steps": …, "deviceId": …, "memoryLimit": …}'`: a few training
 * steps through the CUDA provider, or `"autoBatch": N` for the batch that `--auto-batch` takes of N images, or
 * `"copies": N` for what comes back of N numbers, or `"options": true` for the options as the provider reads them back.
 * Prints one line of JSON; see `fake-cuda.ts`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { buildArtifacts } from '../../dist/artifact/build.js';
import { writeArtifacts } from '../../dist/artifact/write.js';
import { noiseBatch } from '../../dist/bench/noise-batch.js';
import { divideBatch } from '../../dist/jobs/auto-batch.js';
import { maeTask } from '../../dist/model/mae.js';
import { loadModelConfig } from '../../dist/model/presets.js';
import { cudaDevice } from '../../dist/runtime/cuda/device.js';
import { cudaProvider, withCudaOptions } from '../../dist/runtime/cuda/provider.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { ModelState } from '../../dist/train/engine/model-state.js';
import { Trainer } from '../../dist/train/engine/trainer.js';
import { pretrainDefaults } from '../../dist/train/options.js';

const ask = JSON.parse(process.argv[2]);
const { model = 'mae_vit_nano_patch8_64', batchSize = 2, steps = 2, deviceId = 0, memoryLimit } = ask;
const folder = mkdtempSync(join(tmpdir(), 'mae-cuda-session-'));
try {
  console.log(JSON.stringify(await session()));
} catch ({ name, message }) {
  console.log(JSON.stringify({ error: { name, message } }));
} finally {
  rmSync(folder, { recursive: true });
}

async function session() {
  const config = loadModelConfig(model);
  const cuda = { deviceId, memoryLimit };
  const { lacks } = cudaDevice(0);
  if (ask.autoBatch) {
    const outputDir = join(folder, 'run');
    const options = { ...pretrainDefaults, model, outputDir, device: `cuda:${deviceId}`, autoBatch: true };
    const divided = await divideBatch(
      { ...options, batchSize: ask.autoBatch, accumIter: 1 },
      ({ batchSize, accumIter }) =>
        buildArtifacts(maeTask(config, options), { batchSize, accumulate: accumIter > 1, lacks }),
      { device: cudaDevice(deviceId) },
    );
    return { batchSize: divided.batchSize };
  }
  const runtime = new Runtime({ device: { ...cudaDevice(deviceId), ...cudaProvider(cuda) } });
  try {
    if (ask.options) return { options: optionsOf(runtime.api, cuda) };
    if (ask.copies) return { copies: await copied(runtime, ask.copies) };
    const build = (options) =>
      buildArtifacts(maeTask(config, { ...pretrainDefaults, ...options }), {
        batchSize,
        accumulate: false,
        lacks,
        ...options,
      });
    if (ask.sessions)
      return { sessions: ask.sessions.flatMap((options) => sessionsOf(runtime, build(options))) };
    const artifacts = build({});
    writeArtifacts(artifacts, folder);
    return {
      ...(await train(runtime, artifacts.manifest)),
      activationBytes: artifacts.manifest.activationBytes,
    };
  } finally {
    runtime.release();
  }
}

/** The names of the graphs that get a session; the first that does not is an error. */
function sessionsOf(runtime, { files }) {
  const names = [...files.keys()].filter((name) => name.endsWith('.onnx'));
  for (const name of names) runtime.createSession(files.get(name)).release();
  return names;
}

/** What comes back of numbers that were sent to the card again and again, as the optimizer's scalars are. */
async function copied(runtime, count) {
  const [hosts, sends, tensors] = [[], [], []];
  for (let i = 0; i < count; i++) {
    hosts.push(new Float32Array(1));
    tensors.push(runtime.heap.allocate([]));
    sends.push(runtime.heap.copier(runtime.tensor(hosts[i], []), tensors[i]));
  }
  const answers = [];
  for (let round = 1; round <= 3; round++) {
    for (let i = 0; i < count; i++) {
      hosts[i][0] = 100 * round + i;
      await sends[i]();
    }
    const back = new Float32Array(1);
    for (const tensor of tensors) {
      runtime.heap.copy(tensor, runtime.tensor(back, []));
      answers.push(back[0]);
    }
  }
  return answers;
}

async function train(runtime, manifest) {
  const state = new ModelState(manifest);
  state.initialize(0);
  const trainer = new Trainer(runtime, folder, state);
  const peak = koffi.load('libfakecuda.so').func('size_t fake_cuda_peak(void)');
  const batch = noiseBatch(manifest);
  const [losses, peakBytes] = [[], []];
  for (let step = 1; step <= steps; step++) {
    losses.push(await trainer.forwardBackward(batch, 0, 1));
    await trainer.reduce(0);
    await trainer.update(step, { learningRate: 1e-4, weightDecay: 0.05 });
    peakBytes.push(Number(peak()));
  }
  trainer.release();
  return { losses, peakBytes };
}

function optionsOf(api, cuda) {
  return withCudaOptions(api, cuda, (handle) => {
    const allocator = api.create('GetAllocatorWithDefaultOptions');
    const text = api.create('GetCUDAProviderOptionsAsString', handle, allocator);
    const read = koffi.decode.string(text);
    api.call('AllocatorFree', allocator, text);
    return read;
  });
}
