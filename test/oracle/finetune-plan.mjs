/**
 * What a classifier begins with, and how `mae finetune` and `mae linprobe` go through their epochs.
 *
 * node finetune-plan.mjs JOB.json
 *
 * Job: `dataPath`, a folder of classes, and `images`, how many are in it; `runs`, the options of each run, with `command`;
 * `model` and `classes`: heads of a fresh classifier; `tables`, safetensors of position tables [1 + rows·columns, width],
 * and `grids`, name → from and to, [rows, columns]; `output` (JSON) and `tensors` (safetensors) to write.
 *
 * Output: of each run its drop path, learning rates step by step, weight decay, optimizer, and what it does to each
 * parameter. Tensors: `head.<command>`, and the tables by their names.
 */
import { writeFileSync } from 'node:fs';
import { prepareFinetuning } from '../../dist/jobs/finetune.js';
import { prepareLinprobe } from '../../dist/jobs/linprobe.js';
import { finetuneTask, linprobeTask } from '../../dist/model/classifier.js';
import { initialize } from '../../dist/model/initialize.js';
import { learningRate } from '../../dist/model/optim/schedule.js';
import { planRun } from '../../dist/train/plan.js';
import { sizeOf } from '../../dist/util/shape.js';
import { interpolatePositions } from '../../dist/weights/foreign/interpolate-positions.js';
import { readJob, readTensors, writeTensors } from './ours.mjs';

const job = readJob();
const runs = [];
for (const { command, ...given } of job.runs) {
  const prepare = command === 'finetune' ? prepareFinetuning : prepareLinprobe;
  const { prepared, augmentation } = await prepare(given, () => {});
  const { options, artifacts } = prepared;
  const { schedule, totalSteps } = planRun(options, job.images);
  const { parameters, optimizer } = artifacts.manifest;
  runs.push({
    dropPath: augmentation.dropPath ?? null,
    rates: Array.from({ length: totalSteps }, (_, step) => learningRate(step, schedule)),
    weightDecay: options.weightDecay,
    optimizer,
    parameters: parameters.map(({ name, group, lrScale = 1 }) => ({ name, group, lrScale })),
  });
}
writeFileSync(job.output, JSON.stringify(runs));

const classes = Array.from({ length: job.classes }, (_, i) => `${i}`);
const choices = { classes, pool: 'mean', layerDecay: 1, smoothing: 0 };
const results = new Map();
for (const [command, task] of [
  ['finetune', finetuneTask(job.model, choices)],
  ['linprobe', linprobeTask(job.model, choices)],
]) {
  const index = task.parameters.findIndex(({ name }) => name === 'head.weight');
  const data = new Float32Array(sizeOf(task.parameters[index].shape)).fill(Number.NaN);
  initialize(data, task.parameters[index], 3, index);
  results.set(`head.${command}`, { shape: task.parameters[index].shape, data });
}
const grid = ([rows, columns]) => ({ rows, columns });
const tables = await readTensors(job.tables);
for (const [name, { from, to }] of Object.entries(job.grids)) {
  const { shape, data } = tables.get(name);
  const table = interpolatePositions(data, grid(from), grid(to), shape[1]);
  results.set(name, { shape: [table.length / shape[1], shape[1]], data: table });
}
await writeTensors(job.tensors, results);
