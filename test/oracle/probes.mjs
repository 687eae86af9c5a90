/**
 * Probes. Job: `input`, `output` (safetensors); for each of `sets` { name, classes, Cs, ks, temperature }: tensors
 * <name>.train, .train_labels, .val, .val_labels → <name>.train and .val standardised, <name>.weights.<i> and .bias.<i> of
 * the fit with Cs[i], float64, <name>.loss [Cs], <name>.seconds [Cs], <name>.votes.<k> [val, classes], <name>.rank_me [1].
 */
import { knnVotes } from '../../dist/probes/knn.js';
import { fitLogisticRegression } from '../../dist/probes/logistic-regression.js';
import { nearestNeighbours } from '../../dist/probes/nearest-neighbours.js';
import { rankMe } from '../../dist/probes/rank-me.js';
import { standardize } from '../../dist/probes/standardize.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { readJob, readTensors, writeTensors } from './ours.mjs';

const { input, output, sets } = readJob();
const given = await readTensors(input);
const tensors = new Map();
const runtime = new Runtime({ threads: 1 });
for (const { name, classes, Cs, ks, temperature } of sets) {
  const put = (what, data, shape = [data.length]) => tensors.set(`${name}.${what}`, { shape, data });
  const features = (part) => {
    const { data, shape } = given.get(`${name}.${part}`);
    const labels = Int32Array.from(given.get(`${name}.${part}_labels`).data, Number);
    return { values: data, size: shape[1], labels };
  };
  put('rank_me', Float64Array.of(rankMe(features('train'))));
  const [train, val] = standardize(features('train'), [features('val')]);
  for (const [part, { values, size }] of Object.entries({ train, val }))
    put(part, values, [values.length / size, size]);

  const neighbours = await nearestNeighbours(runtime, train, val, Math.max(...ks));
  for (const k of ks) {
    const votes = Array.from(val.labels.keys(), (row) =>
      knnVotes(neighbours, train.labels, row, { k, classes, temperature }),
    );
    put(`votes.${k}`, Float64Array.from(votes.flatMap((of) => [...of])), [votes.length, classes]);
  }

  const losses = [];
  const seconds = [];
  for (const [i, C] of Cs.entries()) {
    const start = performance.now();
    const model = await fitLogisticRegression(runtime, train, { classes, C });
    seconds.push((performance.now() - start) / 1000);
    losses.push(model.loss);
    put(`weights.${i}`, model.weights, [classes, train.size]);
    put(`bias.${i}`, model.bias);
  }
  put('loss', Float64Array.from(losses));
  put('seconds', Float64Array.from(seconds));
}
runtime.release();
await writeTensors(output, tensors);
