import { presetNameOf } from '../model/presets.js';
import { confusionMatrix } from '../probes/confusion.js';
import { shotDefaults } from '../probes/shots.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { chooseCompute } from '../train/engine/compute.js';
import type { Heads } from '../weights/foreign/heads.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadEncoder, type Weights } from '../weights/foreign/weights.js';
import { filesOfCheckpoint } from './check-output.js';
import {
  type ClassFolderOptions,
  type ClassFolders,
  checkImages,
  checkPairs,
  classSizes,
  labelsOf,
  openClassFolders,
} from './evaluation/class-folders.js';
import { type FeatureListener, type FeatureSet, featureSets } from './evaluation/feature-sets.js';
import { type EvaluationRow, type Judged, judge, type Method, methods, votingK } from './evaluation/judge.js';
import { neighbourPicture } from './evaluation/neighbours.js';
import {
  type Contents,
  checkResultFolder,
  confusionFiles,
  writeResultFiles,
} from './evaluation/result-files.js';
import { resultFiles, resultsFormat } from './evaluation/result-names.js';
import { type InferenceOptions, inferenceDefaults } from './inference-options.js';
import { upToLayer } from './open-encoder.js';

export interface EvaluateOptions extends InferenceOptions, ClassFolderOptions, Pick<Heads, 'numHeads'> {
  readonly checkpoint: string;
  readonly methods: readonly Method[];
  /** Labels a class. */
  readonly shots: readonly number[];
  /** The block whose output is taken, counted from 1; the last where not given. */
  readonly layer?: number | undefined;
  readonly seed: number;
  /** A folder for the results; none is written where not given. */
  readonly output?: string | undefined;
}

export const evaluateDefaults = {
  ...inferenceDefaults,
  methods,
  shots: shotDefaults.shots,
  seed: 0,
} as const satisfies Partial<EvaluateOptions> & Record<string, unknown>;

export interface EvaluateListener extends FeatureListener {
  /** Is told each row when it is there, with the time of its probes. */
  row(row: EvaluationRow, seconds: number): void;
}

export interface Evaluation {
  readonly rows: readonly EvaluationRow[];
  /** Whether a row is one of the baselines. */
  readonly isBaseline: readonly boolean[];
}

/**
 * What frozen features of an encoder are worth: kNN, logistic regression and RankMe of its own, of fresh weights' and of
 * baselines that need no network.
 */
export async function evaluate(options: EvaluateOptions, listener: EvaluateListener): Promise<Evaluation> {
  const { checkpoint, trainPath, valPath, labels, output, inputSize, numHeads, threads, layer } = options;
  if (output !== undefined) {
    const inputs = [...(await filesOfCheckpoint(checkpoint)), ...(labels === undefined ? [] : [labels])];
    await checkResultFolder(output, [trainPath, valPath], inputs);
  }
  const device = chooseDevice(options.device);
  const weights = atInputSize(await loadEncoder(checkpoint, { numHeads }), inputSize);
  for (const line of weights.notes) listener.note(line);
  upToLayer(weights, layer ?? weights.config.depth);
  const folders = await openClassFolders(options, listener.note);
  if (options.methods.includes('logreg')) checkPairs(folders.train, labelsOf(folders.train));
  const shots = usableShots(options, folders, listener.note);
  const { kernels } = chooseCompute({ precision: 'fp32', kernels: true }, device);
  const runtime = new Runtime({ threads, device, kernelsPath: kernels?.path });
  const rows: EvaluationRow[] = [];
  const isBaseline: boolean[] = [];
  let shown: Contents = {};
  try {
    for await (const set of featureSets(runtime, weights, folders, options, listener)) {
      if (rows.length === 0) checkImages(folders, set);
      const start = performance.now();
      const judged = await judge(runtime, set, {
        ...options,
        shots,
        classes: folders.train.classNames.length,
      });
      rows.push(judged.row);
      isBaseline.push(set.isBaseline);
      listener.row(judged.row, (performance.now() - start) / 1000);
      if (rows.length === 1 && output !== undefined) shown = await pictures(runtime, set, judged, options);
    }
    if (output !== undefined) {
      const results = resultsText(rows, weights, folders, options);
      await writeResultFiles(output, { [resultFiles.results]: results, ...shown });
    }
    return { rows, isBaseline };
  } finally {
    runtime.release();
  }
}

/** Without those that the smallest class has not got: with fewer images a number would not be what it says. */
function usableShots(
  { shots, methods: used }: EvaluateOptions,
  { train }: ClassFolders,
  note: (line: string) => void,
): number[] {
  const sizes = classSizes(train.classNames.length, labelsOf(train));
  const smallest = Math.min(...sizes);
  const dropped = shots.filter((n) => n > smallest);
  if (dropped.length > 0 && used.includes('logreg')) {
    const name = train.classNames[sizes.indexOf(smallest)];
    note(`--shots ${dropped.join(',')} left out: ${name} has ${smallest} images in ${train.root}`);
  }
  return shots.filter((n) => n <= smallest);
}

/** Of the first row, which is the pretrained encoder's mean. */
async function pictures(
  runtime: Runtime,
  set: FeatureSet,
  judged: Judged,
  { methods: used, seed, exifRotation }: EvaluateOptions,
): Promise<Contents> {
  const { classNames } = set.train;
  const counts = confusionMatrix(await judged.scores(), judged.val.labels, classNames.length);
  const method = used.includes('logreg') ? 'logistic regression' : `kNN of ${votingK}`;
  const right = classNames.reduce((sum, _, i) => sum + counts[i * classNames.length + i]!, 0);
  const share = ((100 * right) / judged.val.labels.length).toFixed(1);
  const title = `${method} on ${set.features} ${set.pool}: ${share} % right`;
  return {
    ...(await confusionFiles(counts, classNames, title)),
    [resultFiles.neighbours]: await neighbourPicture(runtime, set, judged, { seed, exifRotation }),
  };
}

function resultsText(
  rows: readonly EvaluationRow[],
  { config, step }: Pick<Weights, 'config' | 'step'>,
  { train, val }: ClassFolders,
  { checkpoint, layer = config.depth, seed }: EvaluateOptions,
): string {
  const results = {
    format: resultsFormat,
    checkpoint,
    model: presetNameOf(config) ?? config,
    step,
    layer,
    train: { path: train.root, images: train.length },
    val: { path: val.root, images: val.length },
    classes: train.classNames,
    seed,
    rows,
  };
  return `${JSON.stringify(results, undefined, 2)}\n`;
}
