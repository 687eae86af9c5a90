/**
 * Parameters after steps of the trainer on gradients that are given: the task's loss is Σ p∘g.
 *
 * node optimizers.mjs JOB.json
 *
 * Job: `parameters` (name, shape, group, lrScale); `weights`, safetensors of each; `gradients`, safetensors of each with
 * the steps as the first axis; `optimizer` and `emaDecay` as `buildArtifacts` takes them; `lr`, one a step; `weightDecay`;
 * `kernels`: whether to use them; `output`, safetensors to write: parameters, and their moving averages as `ema.<name>`;
 * `models`: a folder for the ONNX files.
 */
import { buildArtifacts } from '../../dist/artifact/build.js';
import { writeArtifacts } from '../../dist/artifact/write.js';
import { add, mul } from '../../dist/compiler/graph/ops/elementwise.js';
import { reshape } from '../../dist/compiler/graph/ops/movement.js';
import { reduceSum } from '../../dist/compiler/graph/ops/reduction.js';
import { cpuDevice } from '../../dist/runtime/device.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { chooseCompute } from '../../dist/train/engine/compute.js';
import { ModelState, sliceOf } from '../../dist/train/engine/model-state.js';
import { Trainer } from '../../dist/train/engine/trainer.js';
import { sizeOf } from '../../dist/util/shape.js';
import { readJob, readTensors, row, writeTensors } from './ours.mjs';

const job = readJob();
const given = (name) => `given.${name}`;
const task = {
  name: 'given-gradients',
  model: {},
  options: {},
  metadata: {},
  parameters: job.parameters.map((spec) => ({ ...spec, initialization: { kind: 'zeros' } })),
  inputs: () =>
    job.parameters.map(({ name, shape }) => ({
      name: given(name),
      type: 'float32',
      shape,
      content: 'class',
    })),
  loss: (p, batch) =>
    job.parameters
      .map(({ name, shape }) => reduceSum(reshape(mul(p(name), batch(given(name))), [sizeOf(shape)]), [0]))
      .reduce((sum, one) => add(sum, one)),
  evaluation: (p) =>
    job.parameters.slice(0, 1).map(({ name }) => ({
      name: 'image_loss',
      value: add(p(name), p(name)),
    })),
};

const compute = chooseCompute({ precision: 'fp32', kernels: job.kernels }, cpuDevice);
const { optimizer, emaDecay } = job;
const options = { batchSize: 1, accumulate: false, optimizer, emaDecay };
const artifacts = buildArtifacts(task, { ...options, kernelPrecision: compute.kernelPrecision });
writeArtifacts(artifacts, job.models);

const weights = await readTensors(job.weights);
const gradients = await readTensors(job.gradients);
const state = new ModelState(artifacts.manifest);
for (const parameter of state.trained)
  sliceOf(state.parameters, parameter).set(weights.get(parameter.name).data);
state.startEma();
const runtime = new Runtime({ threads: 1, kernelsPath: compute.kernels?.path });
const trainer = new Trainer(runtime, job.models, state);
for (const [step, learningRate] of job.lr.entries()) {
  const batch = Object.fromEntries(
    state.trained.map(({ name }) => [given(name), row(gradients.get(name), step).data]),
  );
  await trainer.reduce(await trainer.forwardBackward(batch, 0, 1));
  await trainer.update(step + 1, { learningRate, weightDecay: job.weightDecay });
}
trainer.download();
const results = new Map();
for (const parameter of state.trained) {
  const { name, shape } = parameter;
  results.set(name, { shape, data: sliceOf(state.parameters, parameter) });
  if (emaDecay !== undefined)
    results.set(`ema.${name}`, { shape, data: sliceOf(state.average('ema'), parameter) });
}
trainer.release();
runtime.release();
await writeTensors(job.output, results);
