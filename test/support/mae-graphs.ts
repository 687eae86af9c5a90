/** The graphs and artefacts of a Masked Autoencoder by explicit counts, or by ratios as the command line has them. */
import {
  type ArtifactOptions,
  type Artifacts,
  buildArtifacts as buildTask,
} from '../../src/artifact/build.js';
import { evaluationGraph, gradientNormGraph, trainingGraph as taskGraph } from '../../src/artifact/graphs.js';
import type { Graph } from '../../src/compiler/graph/graph.js';
import { gradientName } from '../../src/compiler/training-names.js';
import { type ModelConfig, patchCount } from '../../src/model/config.js';
import { type MaeChoices, maeTask } from '../../src/model/mae.js';
import { isTrained, maeParameters } from '../../src/model/parameters.js';
import type { Task } from '../../src/model/task.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { type Arrays, runGraph } from './run-graph.js';

export interface Counts {
  readonly kept: number;
  readonly predicted?: number;
  readonly normPixLoss: boolean;
}

/** The task that keeps `kept` patches and predicts `predicted` of the rest, all where not given. */
export function taskOf(config: ModelConfig, { kept, predicted, normPixLoss }: Counts): Task {
  const patches = patchCount(config);
  const predictRatio = predicted === undefined ? undefined : predicted / (patches - kept);
  // ⌊L·(1 − maskRatio)⌋ of a ratio in the middle between two counts
  return maeTask(config, { maskRatio: 1 - (kept + 0.5) / patches, predictRatio, normPixLoss });
}

export function trainingGraph(
  config: ModelConfig,
  batchSize: number,
  { accumulate, gradCheckpointing, ...counts }: Counts & { accumulate: boolean; gradCheckpointing?: boolean },
): Graph {
  return taskGraph(taskOf(config, counts), { batchSize, accumulate, gradCheckpointing });
}

export function evalGraph(config: ModelConfig, batchSize: number, counts: Counts): Graph {
  return evaluationGraph(taskOf(config, counts), batchSize);
}

export type MaeArtifactOptions = ArtifactOptions & MaeChoices;

export function buildArtifacts(config: ModelConfig, options: MaeArtifactOptions): Artifacts {
  return buildTask(maeTask(config, options), options);
}

/** The norm of all gradients, by the graph that computes it in training; `gradients` are the outputs of a training graph. */
export async function gradientNorm(
  runtime: Runtime,
  config: ModelConfig,
  gradients: Arrays,
): Promise<number> {
  const specs = maeParameters(config);
  const names = specs.filter(isTrained).map(({ name }) => gradientName(name));
  const results = await runGraph(runtime, gradientNormGraph(specs, names), gradients);
  return results['gradient_norm']![0]!;
}
