/**
 * Steps of our trainer, for the judge of the artefacts for onnxruntime-training.
 *
 * node official.mjs JOB.json
 *
 * Job: model, batchSize, accumIter, maskRatio, normPixLoss, seed; `batches`, safetensors of images uint8
 * [steps, accumIter·batchSize, H, W, 3] and ids_shuffle int64 [steps, …, L]; `steps`, `schedule`; `external`, a folder
 * for artefacts whose checkpoint has its numbers in a file beside it; `output`, safetensors to write: the fresh
 * parameters as `initial.<name>`, the trained ones, losses [steps, accumIter], learning_rates [steps], and what the
 * evaluation graph gives for the first micro-batch at the end.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildArtifacts } from '../../dist/artifact/build.js';
import { evalModelFile } from '../../dist/artifact/manifest.js';
import { buildOnnxRuntimeTraining } from '../../dist/artifact/onnxruntime-training/build.js';
import { writeArtifacts } from '../../dist/artifact/write.js';
import { maeTask } from '../../dist/model/mae.js';
import { learningRate } from '../../dist/model/optim/schedule.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { ModelState, sliceOf } from '../../dist/train/engine/model-state.js';
import { Trainer } from '../../dist/train/engine/trainer.js';
import { part, readJob, readTensors, row, runOnce, writeTensors } from './ours.mjs';

const job = readJob();
const { model, batchSize, accumIter, maskRatio, normPixLoss, seed, steps } = job;
const results = new Map();

const task = maeTask(model, { maskRatio, normPixLoss });
const artifacts = buildArtifacts(task, { batchSize, accumulate: accumIter > 1 });
const { manifest } = artifacts;
const state = new ModelState(manifest);
const parameters = () =>
  manifest.parameters.map((parameter) => [
    parameter.name,
    { shape: parameter.shape, data: sliceOf(state.parameters, parameter) },
  ]);
state.initialize(seed);
for (const [name, { shape, data }] of parameters())
  results.set(`initial.${name}`, { shape, data: data.slice() });

const batches = await readTensors(job.batches);
const microBatch = (step, index) => ({
  images: part(row(batches.get('images'), step), index, accumIter),
  idsShuffle: part(row(batches.get('ids_shuffle'), step), index, accumIter),
});

const runtime = new Runtime();
const folder = mkdtempSync(join(tmpdir(), 'mae-oracle-'));
try {
  writeArtifacts(artifacts, folder);
  const trainer = new Trainer(runtime, folder, state);
  const losses = [];
  const rates = Array.from({ length: steps }, (_, step) => learningRate(step, job.schedule));
  for (let step = 0; step < steps; step++) {
    for (let i = 0; i < accumIter; i++) {
      const { images, idsShuffle } = microBatch(step, i);
      losses.push(
        await trainer.forwardBackward({ images: images.data, ids_shuffle: idsShuffle.data }, i, accumIter),
      );
    }
    await trainer.reduce(0);
    await trainer.update(step + 1, { learningRate: rates[step], weightDecay: 0 });
  }
  trainer.release();
  results.set('losses', { shape: [steps, accumIter], data: Float64Array.from(losses) });
  results.set('learning_rates', { shape: [steps], data: Float64Array.from(rates) });
} finally {
  rmSync(folder, { recursive: true });
}

const { images, idsShuffle } = microBatch(0, 0);
const session = runtime.createSession(artifacts.files.get(evalModelFile));
const evaluation = await runOnce(
  runtime,
  session,
  new Map([['images', images], ['ids_shuffle', idsShuffle], ...parameters()]),
  new Map([
    ['loss', []],
    ['image_loss', [batchSize]],
    ['pred', [batchSize, manifest.options.patches, 3 * model.patchSize ** 2]],
  ]),
);
session.release();
runtime.release();
for (const [name, value] of [...evaluation, ...parameters()]) results.set(name, value);
await writeTensors(job.output, results);

const external = buildOnnxRuntimeTraining(task, { batchSize, accumIter, weightDecay: 0, seed }, 0);
writeArtifacts({ files: external }, job.external);
