/** `node startup-child.js '{"model": …}'`: the parts of a start, one after the other, as one line of JSON. */
import { join } from 'node:path';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { keptCount } from '../model/config.js';

export interface StartupStages {
  /** Node's own start, and loading the modules. */
  readonly imports: number;
  /** The training graph: described and differentiated, lowered, encoded. */
  readonly differentiate: number;
  readonly lower: number;
  readonly serialize: number;
  /** All three graphs again, as `mae pretrain` makes them, and their files. */
  readonly artifacts: number;
  readonly initialize: number;
  readonly sessions: number;
  readonly forwardBackward: number;
  readonly optimizer: number;
}

interface Arguments {
  readonly model: string;
  readonly batchSize: number;
  readonly threads: number;
  readonly folder: string;
}

const { model, batchSize, threads, folder } = JSON.parse(process.argv[2]!) as Arguments;
const stages: Record<string, number> = {};
let last = 0;
const lap = (name: keyof StartupStages) => {
  const now = performance.now(); // since the process began
  stages[name] = (now - last) / 1000;
  last = now;
};

const { buildArtifacts } = await import('../artifact/build.js');
const { trainingGraph } = await import('../artifact/graphs.js');
const { writeArtifacts } = await import('../artifact/write.js');
const { loadModelConfig } = await import('../model/presets.js');
const { encodeModel } = await import('../compiler/onnx/encode.js');
const { cpuDevice } = await import('../runtime/device.js');
const { Runtime } = await import('../runtime/runtime.js');
const { ModelState } = await import('../train/engine/model-state.js');
const { Trainer } = await import('../train/engine/trainer.js');
const { chooseCompute } = await import('../train/engine/compute.js');
const { pretrainDefaults } = await import('../train/options.js');
lap('imports');

const config = loadModelConfig(model);
const { kernels, kernelPrecision } = chooseCompute(pretrainDefaults, cpuDevice);
const options = { ...pretrainDefaults, batchSize, accumulate: false, kernelPrecision };
const graph = trainingGraph(config, batchSize, { ...options, kept: keptCount(config, options.maskRatio) });
lap('differentiate');
const lowered = expandDefinitions(graph);
lap('lower');
encodeModel(lowered);
lap('serialize');

const artifacts = buildArtifacts(config, options);
const { manifest } = artifacts;
const artifactFolder = join(folder, 'artifacts');
writeArtifacts(artifacts, artifactFolder);
lap('artifacts');
const state = new ModelState(manifest);
state.initialize(0);
lap('initialize');
const runtime = new Runtime({ threads, kernelsPath: kernels?.path });
const trainer = new Trainer(runtime, artifactFolder, state);
lap('sessions');
const images = new Uint8Array(batchSize * manifest.patches * 3 * config.patchSize ** 2);
const idsShuffle = BigInt64Array.from({ length: batchSize * manifest.patches }, (_, i) =>
  BigInt(i % manifest.patches),
);
await trainer.forwardBackward({ images, idsShuffle }, 0, 1);
lap('forwardBackward');
await trainer.update(1, { learningRate: 1e-4, weightDecay: 0.05 });
lap('optimizer');
trainer.release();
runtime.release();
console.log(JSON.stringify(stages));
