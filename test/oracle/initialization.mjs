/**
 * Fresh parameters. Job: model, seed, `output` (safetensors of every parameter); `repeated`: names of parameters
 * that are too small for statistics, drawn with `seeds` seeds: [seeds, size].
 */
import { initialize } from '../../dist/model/initialize.js';
import { maeParameters } from '../../dist/model/parameters.js';
import { sizeOf } from '../../dist/util/shape.js';
import { readJob, writeTensors } from './ours.mjs';

const { model, seed, output, repeated, seeds } = readJob();
const tensors = new Map();
for (const [index, spec] of maeParameters(model).entries()) {
  const { name, shape } = spec;
  const size = sizeOf(shape);
  const data = new Float32Array(size).fill(Number.NaN);
  initialize(data, spec, seed, index);
  tensors.set(name, { shape, data });
  if (!repeated.includes(name)) continue;
  const rows = new Float32Array(seeds * size).fill(Number.NaN);
  for (let i = 0; i < seeds; i++) {
    initialize(rows.subarray(i * size, (i + 1) * size), spec, seed + 1 + i, index);
  }
  tensors.set(`repeated.${name}`, { shape: [seeds, size], data: rows });
}
await writeTensors(output, tensors);
