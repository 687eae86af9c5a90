/** `node startup-child.js '{"model": …}'`: the parts of a start, one after the other, as one line of JSON. */
import { join } from 'node:path';
import { expandDefinitions } from '../compiler/lowering/expand.js';

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

const { trainingGraph } = await import('../artifact/graphs.js');
const { readManifest } = await import('../artifact/read-manifest.js');
const { writeArtifacts } = await import('../artifact/write.js');
const { encodeModel } = await import('../compiler/onnx/encode.js');
const { prepare } = await import('../jobs/prepare.js');
const { maeTask } = await import('../model/mae.js');
const { modelOf } = await import('../model/presets.js');
const { Runtime } = await import('../runtime/runtime.js');
const { emptyBatch } = await import('../train/engine/batch-tensors.js');
const { ModelState } = await import('../train/engine/model-state.js');
const { Trainer } = await import('../train/engine/trainer.js');
const { pretrainDefaults } = await import('../train/options.js');
lap('imports');

const options = { ...pretrainDefaults, model, batchSize, threads };
const graph = trainingGraph(maeTask(modelOf(options), options), { batchSize, accumulate: false });
lap('differentiate');
const lowered = expandDefinitions(graph);
lap('lower');
encodeModel(lowered);
lap('serialize');

const { artifacts, runtimeOptions } = await prepare(options, maeTask(modelOf(options), options));
const artifactFolder = join(folder, 'artifacts');
writeArtifacts(artifacts, artifactFolder);
lap('artifacts');
const manifest = readManifest(artifactFolder);
const state = new ModelState(manifest);
state.initialize(0);
lap('initialize');
const runtime = new Runtime(runtimeOptions);
const trainer = new Trainer(runtime, artifactFolder, state);
lap('sessions');
const { loss } = await trainer.reduce(await trainer.forwardBackward(emptyBatch(manifest.inputs), 0, 1));
if (!Number.isFinite(loss)) throw new Error(`startup: expected a finite loss of blank images, got ${loss}`);
lap('forwardBackward');
await trainer.update(1, { learningRate: 1e-4, weightDecay: 0.05 });
lap('optimizer');
trainer.release();
runtime.release();
console.log(JSON.stringify(stages));
