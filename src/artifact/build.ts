import { createHash } from 'node:crypto';
import { type Lowering, lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel, opsetVersion } from '../compiler/onnx/encode.js';
import { adamWDefaults } from '../model/optim/adamw.js';
import { adamWGraph } from '../model/optim/adamw-graph.js';
import type { Task } from '../model/task.js';
import { layOutArena } from './arena-layout.js';
import {
  evaluationGraph,
  gradientNormGraph,
  oneAfterTheOther,
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
  const lowered = lowerGraph(trainingGraph(task, options), options);
  const [, ...gradients] = lowered.outputs.map(({ name }) => name);
  const training = oneAfterTheOther(lowered);
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
    activationBytes: peakActivationBytes(lowered),
    gradients,
    optimizer: adamWDefaults,
    files: Object.fromEntries([...files].map(([name, bytes]) => [name, describe(bytes)])),
  };
  files.set(manifestFile, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return { manifest, files };
}

function describe(bytes: Uint8Array) {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
