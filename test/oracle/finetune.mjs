/**
 * Steps of fine-tuning or of the linear probe, on batches that are given and random numbers as our loader writes them.
 *
 * node finetune.mjs JOB.json
 *
 * Job: `kind` ('finetune' or 'linprobe'), `model`, `choices` of the task, `batchSize`, `accumIter`; `weights`, safetensors
 * of each parameter; `batches`, safetensors of images uint8 [steps, accumIter·batchSize, H, W, 3] and targets float32
 * [steps, …, classes]; `erasing`, a probability; `mixes` [steps][accumIter]: null or λ, and y and x of the box's centre where
 * it is cut; `rates` of drop path; `steps`, `schedule`, `weightDecay`, `optimizer`, `kernels`; `output`, safetensors to write.
 *
 * Output: of the first step `loss`, `<parameter>_grad`, `gradient_norm`; `losses` [steps]; `learning_rates` [steps];
 * parameters at the end; `logits` and `logits_after`, of the first micro-batch by the evaluation graph; `boxes`
 * [steps, images, 4] (left, top, width, height), `noise`, what stands there after normalisation, and `drop_path`.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildArtifacts } from '../../dist/artifact/build.js';
import { evalModelFile } from '../../dist/artifact/manifest.js';
import { writeArtifacts } from '../../dist/artifact/write.js';
import { drawDropPath } from '../../dist/data/augment/drop-path.js';
import { drawErasedBox, erase } from '../../dist/data/augment/erasing.js';
import { cutBox, writeMix } from '../../dist/data/augment/mix.js';
import { finetuneTask, linprobeTask } from '../../dist/model/classifier.js';
import { imageSize } from '../../dist/model/config.js';
import { normalizeByte } from '../../dist/model/imagenet.js';
import { learningRate } from '../../dist/model/optim/schedule.js';
import { cpuDevice } from '../../dist/runtime/device.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { chooseCompute } from '../../dist/train/engine/compute.js';
import { Evaluator } from '../../dist/train/engine/evaluator.js';
import { ModelState, sliceOf } from '../../dist/train/engine/model-state.js';
import { Trainer } from '../../dist/train/engine/trainer.js';
import { RandomStream } from '../../dist/util/random.js';
import { sizeOf } from '../../dist/util/shape.js';
import { gradientsOf, readJob, readTensors, writeTensors } from './ours.mjs';

const job = readJob();
const { kind, model, choices, batchSize, accumIter, steps } = job;
const compute = chooseCompute({ precision: 'fp32', kernels: job.kernels }, cpuDevice);
const task = (kind === 'finetune' ? finetuneTask : linprobeTask)(model, choices);
const artifacts = buildArtifacts(task, {
  batchSize,
  accumulate: accumIter > 1,
  optimizer: job.optimizer,
  kernelPrecision: compute.kernelPrecision,
});
const { manifest } = artifacts;
const weights = await readTensors(job.weights);
const batches = await readTensors(job.batches);
const size = imageSize(model);
const pixels = size.height * size.width * 3;
const perStep = accumIter * batchSize;
const boxes = new Float64Array(steps * perStep * 4);
const noise = new Float64Array(steps * perStep * pixels);
const dropPath = new Float32Array(steps * perStep * 2 * model.depth);

/** The inputs of an image, from what the loader's functions draw and write. */
function writeImage(micro, row, position) {
  const part = (name, numbers) => micro[name]?.subarray(row * numbers, (row + 1) * numbers);
  const images = part('images', pixels);
  images.set(batches.get('images').data.subarray(position * pixels, (position + 1) * pixels));
  const classes = choices.classes.length;
  part('targets', classes).set(
    batches.get('targets').data.subarray(position * classes, (position + 1) * classes),
  );
  const added = part('erasing', pixels);
  if (added) {
    const random = new RandomStream(5, 'erasing', 0, position);
    const box = drawErasedBox(random, size, job.erasing);
    erase(random, images, added, size.width, box);
    if (box) boxes.set([box.left, box.top, box.width, box.height], position * 4);
    const start = position * pixels;
    added.forEach((value, i) => {
      noise[start + i] = value + normalizeByte(0, i % 3);
    });
  }
  const factors = part('drop_path', 2 * model.depth);
  if (factors) {
    drawDropPath(new RandomStream(5, 'drop-path', 0, position), job.rates, factors);
    dropPath.set(factors, position * 2 * model.depth);
  }
}

function microBatch(step, index) {
  const arrays = task
    .inputs(batchSize)
    .map(({ name, type, shape }) => [
      name,
      type === 'uint8' ? new Uint8Array(sizeOf(shape)) : new Float32Array(sizeOf(shape)),
    ]);
  const micro = Object.fromEntries(arrays);
  for (let row = 0; row < batchSize; row++) writeImage(micro, row, step * perStep + index * batchSize + row);
  if (micro.mix) {
    const given = job.mixes[step][index];
    const isCut = given?.y !== undefined;
    const mix = isCut ? cutBox(size, given.lambda, given) : given && { lambda: given.lambda };
    const length = 2 + size.height + size.width;
    for (let row = 0; row < batchSize; row++)
      writeMix(micro.mix.subarray(row * length, (row + 1) * length), size, mix ?? undefined);
  }
  return micro;
}

const runtime = new Runtime({ threads: 1, kernelsPath: compute.kernels?.path });
const folder = mkdtempSync(join(tmpdir(), 'mae-oracle-'));
const results = new Map();
try {
  writeArtifacts(artifacts, folder);
  const first = Array.from({ length: accumIter }, (_, i) => microBatch(0, i));
  const tensorsOf = (micro) =>
    new Map(task.inputs(batchSize).map(({ name, shape }) => [name, { shape, data: micro[name] }]));
  for (const [name, value] of await gradientsOf(runtime, artifacts, weights, first.map(tensorsOf)))
    results.set(name, value);

  const state = new ModelState(manifest);
  const parameter = new Map(manifest.parameters.map((each) => [each.name, sliceOf(state.parameters, each)]));
  for (const [name, target] of parameter) target.set(weights.get(name).data);
  const trainer = new Trainer(runtime, folder, state);
  const evaluate = async (name) => {
    trainer.download();
    const evaluator = new Evaluator(runtime, artifacts.files.get(evalModelFile), manifest, (one) =>
      parameter.get(one),
    );
    const taken = (input, width) => batches.get(input).data.subarray(0, batchSize * width);
    await evaluator.run({
      images: taken('images', pixels),
      targets: taken('targets', choices.classes.length),
    });
    results.set(name, { shape: [batchSize, choices.classes.length], data: evaluator.outputs.logits.slice() });
    evaluator.release();
  };

  await evaluate('logits');
  const losses = new Float64Array(steps);
  const rates = Float64Array.from({ length: steps }, (_, step) => learningRate(step, job.schedule));
  for (let step = 0; step < steps; step++) {
    for (let i = 0; i < accumIter; i++)
      losses[step] += (await trainer.forwardBackward(microBatch(step, i), i, accumIter)) / accumIter;
    await trainer.reduce(losses[step]);
    await trainer.update(step + 1, { learningRate: rates[step], weightDecay: job.weightDecay });
  }
  await evaluate('logits_after');
  trainer.release();
  results.set('losses', { shape: [steps], data: losses });
  results.set('learning_rates', { shape: [steps], data: rates });
  for (const { name, shape } of manifest.parameters) results.set(name, { shape, data: parameter.get(name) });
} finally {
  rmSync(folder, { recursive: true });
}
runtime.release();
results.set('boxes', { shape: [steps, perStep, 4], data: boxes });
results.set('noise', { shape: [steps, perStep, size.height, size.width, 3], data: noise });
results.set('drop_path', { shape: [steps, perStep, 2 * model.depth], data: dropPath });
await writeTensors(job.output, results);
