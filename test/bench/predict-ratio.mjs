/**
 * What runs have learned: the last validation loss, and how well the classes of a folder can be told apart by a
 * linear map of the frozen encoder's features. For docs/predict-ratio.md.
 *
 *   node test/bench/predict-ratio.mjs --train DIR --val DIR RUN...
 *
 * DIR: a folder with a sub-folder a class. Features are those of `mae export-encoder --pool mean`, of the middle of
 * each image. The map is ridge regression to one-hot labels on features standardised over the training images; its
 * strength is the best of a 5-fold cross-validation within the training images, and the validation images are looked
 * at once, with it. Prints a line of JSON for each run:
 *
 *   val_loss       of the run's last epoch, by the whole evaluation graph; null where the run had no --val-path
 *   val_accuracy   share of validation images told right
 *   cv_accuracy    that of the cross-validation, a little hopeful for its best strength
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { ValidationLoader } from '../../dist/data/loader.js';
import { pixelValues } from '../../dist/data/pictures/pixels.js';
import { indexImageFolder } from '../../dist/data/sources/image-folder.js';

const { values: options, positionals: runs } = parseArgs({
  allowPositionals: true,
  options: { train: { type: 'string' }, val: { type: 'string' } },
});
if (!options.train || !options.val || runs.length === 0) {
  console.error('predict-ratio: expected --train DIR --val DIR RUN...');
  process.exit(1);
}

const strengths = Array.from({ length: 13 }, (_, i) => 10 ** (i / 2 - 1)); // 0.1 … 1e5
const folds = 5;

/** Features [images][D] and labels of a folder. */
async function featuresOf(session, root) {
  const folder = await indexImageFolder(root);
  const [, , height, width] = session.inputMetadata[0].shape;
  const loader = new ValidationLoader({
    source: folder,
    inputs: [{ name: 'images', type: 'uint8', shape: [64, height, width, 3], content: 'pixels' }],
    seed: 0,
    numWorkers: 1,
  });
  const [features, labels] = [[], []];
  for (let batch = await loader.next(); batch; batch = await loader.next()) {
    const { inputs, count, imageIndices } = batch;
    const pixels = pixelValues(inputs.images.subarray(0, count * height * width * 3), { height, width });
    const input = new Tensor('float32', pixels, [count, 3, height, width]);
    const { features: output } = await session.run({ pixel_values: input });
    const size = output.dims[1];
    for (let row = 0; row < count; row++) {
      features.push(Float64Array.from(output.data.subarray(row * size, (row + 1) * size)));
      labels.push(folder.labelOf(imageIndices[row]));
    }
    batch.release();
  }
  await loader.close();
  return { features, labels, classes: folder.classNames };
}

/** Solves (A + strength · 1) X = B for symmetric positive A [n][n], B [n][m], by Cholesky's decomposition. */
function solve(a, b, strength) {
  const n = a.length;
  const l = a.map((row) => Float64Array.from(row));
  for (let j = 0; j < n; j++) {
    l[j][j] += strength;
    for (let k = 0; k < j; k++) l[j][j] -= l[j][k] ** 2;
    l[j][j] = Math.sqrt(l[j][j]);
    for (let i = j + 1; i < n; i++) {
      for (let k = 0; k < j; k++) l[i][j] -= l[i][k] * l[j][k];
      l[i][j] /= l[j][j];
    }
  }
  const x = b.map((row) => Float64Array.from(row));
  for (let c = 0; c < b[0].length; c++) {
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) x[i][c] -= l[i][k] * x[k][c];
      x[i][c] /= l[i][i];
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) x[i][c] -= l[k][i] * x[k][c];
      x[i][c] /= l[i][i];
    }
  }
  return x;
}

/** Ridge regression on some images, at each strength: whether each of `asked` is told right. */
function ridge(features, labels, asked, askedLabels) {
  const [count, size, classes] = [features.length, features[0].length, Math.max(...labels) + 1];
  const mean = new Float64Array(size);
  const deviation = new Float64Array(size);
  for (const row of features) for (let i = 0; i < size; i++) mean[i] += row[i] / count;
  for (const row of features) for (let i = 0; i < size; i++) deviation[i] += (row[i] - mean[i]) ** 2 / count;
  const standard = (row) => row.map((x, i) => (x - mean[i]) / Math.sqrt(deviation[i] + 1e-12));
  const share = Float64Array.from(
    { length: classes },
    (_, c) => labels.filter((l) => l === c).length / count,
  );
  const gram = Array.from({ length: size }, () => new Float64Array(size));
  const products = Array.from({ length: size }, () => new Float64Array(classes));
  features.forEach((raw, image) => {
    const row = standard(raw);
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) gram[i][j] += row[i] * row[j];
      for (let c = 0; c < classes; c++) products[i][c] += row[i] * ((labels[image] === c ? 1 : 0) - share[c]);
    }
  });
  const rows = asked.map(standard);
  return strengths.map((strength) => {
    const weights = solve(gram, products, strength);
    return rows.map((row, image) => {
      const scores = share.map((s, c) => row.reduce((sum, x, i) => sum + x * weights[i][c], s));
      return scores.indexOf(Math.max(...scores)) === askedLabels[image];
    });
  });
}

const shareOf = (answers) => answers.filter(Boolean).length / answers.length;

function probe(train, val) {
  const answers = strengths.map(() => []);
  for (let fold = 0; fold < folds; fold++) {
    // images come sorted by class, so every fifth one is a fold with as many of each
    const [fitted, held] = [false, true].map((inside) =>
      train.features.flatMap((_, i) => ((i % folds === fold) === inside ? [i] : [])),
    );
    const pick = (all, indices) => indices.map((i) => all[i]);
    const rightOf = ridge(
      pick(train.features, fitted),
      pick(train.labels, fitted),
      pick(train.features, held),
      pick(train.labels, held),
    );
    for (const [s, right] of rightOf.entries()) answers[s].push(...right);
  }
  const accuracies = answers.map(shareOf);
  const best = accuracies.indexOf(Math.max(...accuracies));
  const right = ridge(train.features, train.labels, val.features, val.labels)[best];
  return {
    val_accuracy: shareOf(right),
    cv_accuracy: accuracies[best],
    strength: strengths[best],
    train_images: train.labels.length,
    val_images: val.labels.length,
  };
}

const scratch = mkdtempSync(join(tmpdir(), 'mae-probe-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const maeScript = fileURLToPath(new URL('../../bin/mae.js', import.meta.url));
for (const run of runs) {
  const encoder = join(scratch, 'encoder.onnx');
  const args = ['export-encoder', '--checkpoint', run, '-o', encoder, '--pool', 'mean'];
  execFileSync(process.execPath, [maeScript, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  const session = await InferenceSession.create(encoder);
  const [train, val] = [await featuresOf(session, options.train), await featuresOf(session, options.val)];
  if (train.classes.length < 2 || train.classes.join() !== val.classes.join()) {
    throw new Error(`predict-ratio: expected the same classes, got ${train.classes} and ${val.classes}`);
  }
  const lines = readFileSync(join(run, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const loss = lines.filter(({ type }) => type === 'val').at(-1)?.loss ?? null;
  console.log(JSON.stringify({ run, val_loss: loss, ...probe(train, val) }));
}
