import { createHash } from 'node:crypto';
import type { Graph } from '../compiler/graph/graph.js';
import { type Lowering, lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel, opsetVersion } from '../compiler/onnx/encode.js';
import { isGradient, nextName } from '../compiler/training-names.js';
import { adamWDefaults } from '../model/optim/adamw.js';
import { adamWGraph } from '../model/optim/adamw-graph.js';
import { emaGraph } from '../model/optim/ema-graph.js';
import { type LarsParameter, larsGraph } from '../model/optim/lars-graph.js';
import type { OptimizerOptions } from '../model/optim/optimizer.js';
import { isTrained, lrScaleOf, type ParameterSpec } from '../model/parameters.js';
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
  emaModelFile,
  evalModelFile,
  gradientNormModelFile,
  type Manifest,
  manifestFile,
  optimizerModelFile,
  trainingModelFile,
} from './manifest.js';
import { peakActivationBytes } from './memory.js';

/** Gradients accumulate where a step has more than one micro-batch. */
export interface ArtifactOptions extends Lowering, TrainingGraphOptions {
  /** AdamW as in pretraining where not given. */
  readonly optimizer?: OptimizerOptions | undefined;
  /** Of the moving average of parameters; none is kept where not given. */
  readonly emaDecay?: number | undefined;
}

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
  const { optimizer = adamWDefaults, emaDecay } = options;
  const { arena, parameters } = layOutArena(task.parameters);
  const lowered = lowerGraph(trainingGraph(task, options), options);
  const names = lowered.outputs.map(({ name }) => name);
  const gradients = names.filter(isGradient);
  const buffers = task.parameters.map(({ name }) => name).filter((name) => names.includes(nextName(name)));
  const training = oneAfterTheOther(lowered);
  const evaluation = lowerGraph(evaluationGraph(task, batchSize), { lacks });
  const gradientNorm = lowerGraph(gradientNormGraph(task.parameters, gradients), { kernelPrecision, lacks });
  const files = new Map([
    [trainingModelFile, encodeModel(training)],
    [evalModelFile, encodeModel(evaluation)],
    [gradientNormModelFile, encodeModel(gradientNorm)],
    ...updateModels(task, { ...options, optimizer }, arena.chunk),
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
    ...(task.evaluationInputs && { evaluationInputs: task.evaluationInputs(batchSize) }),
    outputs: outputsOf(evaluation),
    accumulate,
    ...(gradCheckpointing && { gradCheckpointing }),
    ...(kernelPrecision && { kernelPrecision }),
    ...(graphPrecision && { graphPrecision }),
    parameters,
    arena,
    activationBytes: peakActivationBytes(lowered),
    gradients,
    ...(buffers.length > 0 && { buffers }),
    optimizer: described(optimizer),
    ...(emaDecay !== undefined && { emaDecay }),
    files: Object.fromEntries([...files].map(([name, bytes]) => [name, describe(bytes)])),
  };
  files.set(manifestFile, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return { manifest, files };
}

/** The models that run after the gradients. Those over arenas take as many elements as they are given. */
function updateModels(
  task: Task,
  { optimizer, emaDecay, kernelPrecision, lacks }: ArtifactOptions & { optimizer: OptimizerOptions },
  chunk: number,
): [string, Uint8Array][] {
  const lower = (graph: Graph) => lowerGraph(graph, { kernelPrecision, lacks });
  const overArenas = (graph: Graph) => encodeModel(lower(graph), { batchAxis: 'elements' });
  const update =
    optimizer.kind === 'lars'
      ? encodeModel(lower(larsGraph(task.parameters.filter(isTrained).map(asTrained), optimizer)))
      : overArenas(adamWGraph(chunk, optimizer));
  return [
    [optimizerModelFile, update],
    ...(emaDecay === undefined
      ? []
      : [[emaModelFile, overArenas(emaGraph(chunk, emaDecay))] as [string, Uint8Array]]),
  ];
}

function asTrained(spec: ParameterSpec): LarsParameter {
  const { name, shape, group } = spec;
  return { name, shape, decays: group === 'decayed', lrScale: lrScaleOf(spec) };
}

/** AdamW has no kind in a manifest: it was the only optimizer of earlier ones. */
function described(optimizer: OptimizerOptions): OptimizerOptions {
  if (optimizer.kind === 'lars') return optimizer;
  const { kind: _, ...constants } = optimizer;
  return constants;
}

function describe(bytes: Uint8Array) {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
