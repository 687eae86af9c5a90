/**
 * Loss, predictions and gradients of a first batch, and the parameters after some steps of AdamW.
 *
 * node steps.mjs JOB.json
 *
 * Job: model, batchSize, accumIter, maskRatio, normPixLoss; `weights`, safetensors of every parameter; `batches`,
 * safetensors of images uint8 [steps, accumIter·batchSize, H, W, 3] and ids_shuffle int64 [steps, …, L]; `steps` (0:
 * no training), `schedule`, `weightDecay`; `output`, safetensors to write; `kernels`: whether to use them;
 * `lossGraph`, where given: an ONNX file to
 * write with the loss alone, the parameters inside.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildArtifacts } from '../../dist/artifact/build.js';
import { declareBatch, declareParameters } from '../../dist/artifact/graphs.js';
import { evalModelFile } from '../../dist/artifact/manifest.js';
import { writeArtifacts } from '../../dist/artifact/write.js';
import { expandDefinitions } from '../../dist/compiler/lowering/expand.js';
import { encodeModel } from '../../dist/compiler/onnx/encode.js';
import { maeTask } from '../../dist/model/mae.js';
import { learningRate } from '../../dist/model/optim/schedule.js';
import { cpuDevice } from '../../dist/runtime/device.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { chooseCompute } from '../../dist/train/engine/compute.js';
import { ModelState, sliceOf } from '../../dist/train/engine/model-state.js';
import { Trainer } from '../../dist/train/engine/trainer.js';
import { gradientsOf, part, readJob, readTensors, row, runOnce, writeTensors } from './ours.mjs';

const job = readJob();
const { model, batchSize, accumIter, maskRatio, normPixLoss } = job;
const compute = chooseCompute({ precision: 'fp32', kernels: job.kernels === true }, cpuDevice);
const { kernelPrecision } = compute;
const accumulate = accumIter > 1;
const task = maeTask(model, { maskRatio, normPixLoss });
const artifacts = buildArtifacts(task, { batchSize, accumulate, kernelPrecision });
const { manifest } = artifacts;

const weights = await readTensors(job.weights);
const batches = await readTensors(job.batches);

/** The micro-batches of a step. */
function microBatches(step) {
  const [images, idsShuffle] = [row(batches.get('images'), step), row(batches.get('ids_shuffle'), step)];
  return Array.from({ length: accumIter }, (_, i) => ({
    images: part(images, i, accumIter),
    idsShuffle: part(idsShuffle, i, accumIter),
  }));
}

const runtime = new Runtime({ threads: 1, kernelsPath: compute.kernels?.path }); // the other judge has the other core
const results = new Map();

/** Predictions of every patch, in shuffled order, and the losses of the images, by the evaluation graph. */
async function predictions(batch) {
  const session = runtime.createSession(artifacts.files.get(evalModelFile));
  const patchNumbers = 3 * model.patchSize ** 2;
  const outputs = new Map([
    ['loss', []],
    ['image_loss', [batchSize]],
    ['pred', [batchSize, manifest.options.patches, patchNumbers]],
  ]);
  for (const [i, { images, idsShuffle }] of batch.entries()) {
    const inputs = new Map([['images', images], ['ids_shuffle', idsShuffle], ...weights]);
    const run = await runOnce(runtime, session, inputs, outputs);
    results.set(`pred.${i}`, run.get('pred'));
    results.set(`image_loss.${i}`, run.get('image_loss'));
  }
  session.release();
}

/** Steps of the trainer, as `mae pretrain` makes them. */
async function train() {
  const folder = mkdtempSync(join(tmpdir(), 'mae-oracle-'));
  try {
    writeArtifacts(artifacts, folder);
    const state = new ModelState(manifest);
    for (const parameter of manifest.parameters) {
      sliceOf(state.parameters, parameter).set(weights.get(parameter.name).data);
    }
    const trainer = new Trainer(runtime, folder, state);
    for (let step = 0; step < job.steps; step++) {
      for (const [i, { images, idsShuffle }] of microBatches(step).entries()) {
        await trainer.forwardBackward({ images: images.data, ids_shuffle: idsShuffle.data }, i, accumIter);
      }
      await trainer.reduce(0);
      await trainer.update(step + 1, {
        learningRate: learningRate(step, job.schedule),
        weightDecay: job.weightDecay,
      });
    }
    trainer.release();
    for (const parameter of manifest.parameters) {
      const { name, shape } = parameter;
      results.set(name, { shape, data: sliceOf(state.parameters, parameter) });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The forward part of the training graph, as a model whose parameters are initializers. */
function lossModel() {
  const parameters = declareParameters(task.parameters);
  const batch = declareBatch(task.inputs(batchSize));
  const graph = {
    name: 'loss_model',
    inputs: [...batch.values, ...parameters.values],
    outputs: [{ name: 'loss', value: task.loss(parameters.byName, batch.byName) }],
  };
  const initializers = manifest.parameters.map(({ name, shape }) => ({
    name,
    shape,
    data: weights.get(name).data,
  }));
  return encodeModel(expandDefinitions(graph), { initializers });
}

const first = microBatches(0);
const inputsOf = ({ images, idsShuffle }) =>
  new Map([
    ['images', images],
    ['ids_shuffle', idsShuffle],
  ]);
for (const [name, value] of await gradientsOf(runtime, artifacts, weights, first.map(inputsOf)))
  results.set(name, value);
await predictions(first);
if (job.lossGraph !== undefined) writeFileSync(job.lossGraph, lossModel());
if (job.steps > 0) await train();
runtime.release();
await writeTensors(job.output, results);
