import { createHash } from 'node:crypto';
import type { Graph } from '../compiler/graph/graph.js';
import { type Lowering, lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel, opsetVersion } from '../compiler/onnx/encode.js';
import { gradientName } from '../compiler/training-names.js';
import { adamWDefaults } from '../model/optim/adamw.js';
import { adamWGraph } from '../model/optim/adamw-graph.js';
import { isTrained } from '../model/parameters.js';
import type { Task } from '../model/task.js';
import { layOutArena } from './arena-layout.js';
import {
  evaluationGraph,
  gradientNormGraph,
  outputsOf,
  type TrainingGraphOptions,
  trainingGraph,
} from './graphs.js';
import {
  evalModelFile,
  gradientNormModelFile,
  type Manifest,
  manifestFile,
  optimizerModelFile,
  trainingModelFile,
} from './manifest.js';
import { peakActivationBytes } from './memory.js';

/** Gradients accumulate where a step has more than one micro-batch. */
export interface ArtifactOptions extends Lowering, TrainingGraphOptions {}

export interface Artifacts {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/**
 * The training, evaluation, gradient norm and optimizer graphs of a task, in the portable form (operators of ONNX's own
 * domain only) unless asked for kernels, and their manifest. Same options, same bytes.
 */
export function buildArtifacts(task: Task, options: ArtifactOptions): Artifacts {
  const { batchSize, accumulate, gradCheckpointing, kernelPrecision, graphPrecision, lacks } = options;
  const { arena, parameters } = layOutArena(task.parameters);
  const training = lowerGraph(trainingGraph(task, options), options);
  const gradients = gradientNames(training, task);
  const evaluation = lowerGraph(evaluationGraph(task, batchSize), { lacks });
  const gradientNorm = lowerGraph(gradientNormGraph(task.parameters, gradients), { kernelPrecision, lacks });
  const optimizer = lowerGraph(adamWGraph(arena.chunk), { kernelPrecision, lacks });
  const files = new Map([
    [trainingModelFile, encodeModel(training)],
    [evalModelFile, encodeModel(evaluation)],
    [gradientNormModelFile, encodeModel(gradientNorm)],
    [optimizerModelFile, encodeModel(optimizer, { batchAxis: 'elements' })],
  ]);
  const manifest: Manifest = {
    formatVersion: 2,
    opset: opsetVersion,
    task: task.name,
    options: task.options,
    metadata: task.metadata,
    model: task.model,
    batchSize,
    inputs: task.inputs(batchSize),
    outputs: outputsOf(evaluation),
    accumulate,
    ...(gradCheckpointing && { gradCheckpointing }),
    ...(kernelPrecision && { kernelPrecision }),
    ...(graphPrecision && { graphPrecision }),
    parameters,
    arena,
    activationBytes: peakActivationBytes(training),
    gradients,
    optimizer: adamWDefaults,
    files: Object.fromEntries([...files].map(([name, bytes]) => [name, describe(bytes)])),
  };
  files.set(manifestFile, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return { manifest, files };
}

/** Names of the gradients of a training graph, in the order of its outputs. */
function gradientNames({ outputs }: Graph, { parameters }: Task): string[] {
  const known = new Set(parameters.filter(isTrained).map(({ name }) => gradientName(name)));
  return outputs.map(({ name }) => name).filter((name) => known.has(name));
}

function describe(bytes: Uint8Array) {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
