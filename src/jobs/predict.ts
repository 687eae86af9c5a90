import { statSync } from 'node:fs';
import { pretrainAugmentation } from '../data/augmentation.js';
import { readableFormats } from '../data/decode/sniff.js';
import { ValidationLoader } from '../data/loader.js';
import { FileList } from '../data/sources/file-list.js';
import type { ImageSource } from '../data/sources/source.js';
import { imageInputs } from '../model/mask.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { chooseCompute } from '../train/engine/compute.js';
import type { Evaluator } from '../train/engine/evaluator.js';
import { UserError } from '../util/errors.js';
import { checkRegularFile } from '../util/regular-file.js';
import { type Classifier, loadClassifier } from '../weights/foreign/classifier.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import type { FeatureProgress } from './features.js';
import { type InferenceOptions, inferenceDefaults } from './inference-options.js';
import { openClassifier } from './open-classifier.js';
import { openImageFolder } from './open-images.js';

export interface PredictOptions extends InferenceOptions {
  /** Files and folders of images; what lies below a folder is taken in the order of its paths. */
  readonly images: readonly string[];
  readonly checkpoint: string;
  /** How many classes are told of each image, at most. */
  readonly top: number;
}

export const predictDefaults = {
  top: 5,
  ...inferenceDefaults,
} as const satisfies Partial<PredictOptions>;

export interface Guess {
  readonly label: string;
  /** The softmax probability. */
  readonly score: number;
}

/** What is told of an image; `--json` prints these fields. */
export interface Prediction extends Guess {
  readonly image: string;
  /** The likeliest first; of the same probability the first of the classes. */
  readonly top: readonly Guess[];
}

export interface PredictListener {
  predicted(prediction: Prediction): void;
  /** Is told what a person should know of how the checkpoint and the images were read, and of images left out. */
  note(line: string): void;
  progress: FeatureProgress;
}

/**
 * Tells the classes of images, one after the other in the order in which they are given: of the middle of each, cut out
 * as the evaluation in training did. Images that cannot be read are left out, and their number says so; a UserError
 * where no other is left.
 */
export async function predict(
  options: PredictOptions,
  listener: PredictListener,
): Promise<{ predicted: number; failed: number }> {
  const { checkpoint, inputSize, threads } = options;
  const device = chooseDevice(options.device);
  const classifier = atInputSize(await loadClassifier(checkpoint), inputSize);
  for (const line of classifier.notes) listener.note(line);
  const tally = new Tally(listener);
  const sources = await openSources(options.images, tally);
  const total = sources.reduce((sum, { length }) => sum + length, 0);
  if (total > 0) {
    const { kernels } = chooseCompute({ precision: 'fp32', kernels: true }, device);
    const runtime = new Runtime({ threads, device, kernelsPath: kernels?.path });
    try {
      await predictSources(runtime, classifier, sources, { ...options, total }, tally);
    } finally {
      runtime.release();
    }
  }
  return tally.end();
}

/** Counts what is predicted and what is not. Failures are told when it is known that they are not all there is. */
class Tally {
  readonly #listener: PredictListener;
  #failures: string[] = [];
  #predicted = 0;
  #failed = 0;

  constructor(listener: PredictListener) {
    this.#listener = listener;
  }

  get listener(): PredictListener {
    return this.#listener;
  }

  predicted(prediction: Prediction): void {
    if (this.#predicted++ === 0) for (const failure of this.#failures.splice(0)) this.#listener.note(failure);
    this.#listener.predicted(prediction);
  }

  failed(failure: string): void {
    this.#failed++;
    if (this.#predicted > 0) this.#listener.note(failure);
    else this.#failures.push(failure);
  }

  done(total: number): void {
    this.#listener.progress(Math.min(total, this.#predicted + this.#failed), total);
  }

  end(): { predicted: number; failed: number } {
    const [predicted, failed] = [this.#predicted, this.#failed];
    if (predicted > 0) return { predicted, failed };
    const all = failed === 1 ? '' : `none of ${failed} images is left; the first: `;
    throw new UserError(`${all}${this.#failures[0]}`);
  }
}

/** Each folder, and files that follow each other as one. */
async function openSources(images: readonly string[], tally: Tally): Promise<ImageSource[]> {
  const sources: ImageSource[] = [];
  let files: string[] = [];
  const endFiles = () => {
    if (files.length > 0) sources.push(new FileList(files));
    files = [];
  };
  for (const path of images) {
    try {
      if (!isFolder(path)) {
        files.push(path);
        continue;
      }
      endFiles();
      sources.push(await openImageFolder(path, { rescan: true, note: tally.listener.note }));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      tally.failed(error.message);
    }
  }
  endFiles();
  return sources;
}

/** A UserError where a path is neither a folder nor what can be read to its end. What is not there is told later. */
function isFolder(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || found.isDirectory()) return found !== undefined;
  checkRegularFile(path, 'image');
  return false;
}

async function predictSources(
  runtime: Runtime,
  classifier: Classifier,
  sources: readonly ImageSource[],
  options: PredictOptions & { readonly total: number },
  tally: Tally,
): Promise<void> {
  const batchSize = Math.min(options.batchSize, options.total);
  const evaluator = openClassifier(runtime, classifier, batchSize);
  const noted = new Set<string>(); // of each kind of picture one note is enough
  try {
    for (const source of sources) {
      await predictSource(evaluator, classifier, source, { ...options, batchSize, noted }, tally);
    }
  } finally {
    evaluator.release();
  }
}

interface SourceOptions extends PredictOptions {
  readonly total: number;
  readonly noted: Set<string>;
}

async function predictSource(
  evaluator: Evaluator,
  classifier: Classifier,
  source: ImageSource,
  { batchSize, numWorkers, exifRotation, top, total, noted }: SourceOptions,
  tally: Tally,
): Promise<void> {
  const { config, evaluationCrop, classes } = classifier;
  const loader = new ValidationLoader({
    source,
    inputs: imageInputs(config, batchSize),
    augmentation: { ...pretrainAugmentation, evaluationCrop },
    seed: 0,
    numWorkers,
    maxSkippedShare: 1,
    exifRotation,
  });
  let skipped = 0;
  const tellSkipped = () => {
    for (const { path, reason } of loader.skipped.slice(skipped)) tally.failed(unreadableImage(path, reason));
    skipped = loader.skipped.length;
    tally.done(total);
  };
  try {
    for (let batch = await loader.next(); batch !== undefined; batch = await loader.next()) {
      for (const { path, kind, text } of batch.notes) {
        if (!noted.has(kind)) tally.listener.note(`${path}: ${text}`);
        noted.add(kind);
      }
      await evaluator.run(batch.inputs);
      batch.release();
      const logits = evaluator.outputs['logits']!;
      for (const [row, image] of batch.imageIndices.entries()) {
        const name = source.name(image);
        const of = logits.subarray(row * classes.length, (row + 1) * classes.length);
        tally.predicted(toPrediction(name, of, classifier, top));
      }
      tellSkipped();
    }
    tellSkipped();
  } finally {
    await loader.close();
  }
}

function unreadableImage(path: string, reason: string): string {
  return `image: expected a readable ${readableFormats} file, got ${path}: ${reason}; pass another file`;
}

/** The first classes by their softmax probabilities. */
function toPrediction(
  image: string,
  logits: Float32Array,
  { classes, path }: Classifier,
  top: number,
): Prediction {
  const bad = logits.find((value) => !Number.isFinite(value));
  if (bad !== undefined) {
    throw new UserError(
      `predict: expected finite numbers for ${image}, got ${bad}; those in ${path} are too large: use an earlier checkpoint`,
    );
  }
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((total, power) => total + power, 0);
  const order = powers.map((_, i) => i).sort((a, b) => powers[b]! - powers[a]! || a - b);
  const guesses = order.slice(0, top).map((i) => ({ label: classes[i]!, score: powers[i]! / sum }));
  return { image, ...guesses[0]!, top: guesses };
}
