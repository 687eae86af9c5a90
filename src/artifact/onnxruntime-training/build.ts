import { expandDefinitions } from '../../compiler/lowering/expand.js';
import { encodeModel } from '../../compiler/onnx/encode.js';
import { initialize } from '../../model/initialize.js';
import { adamWDefaults } from '../../model/optim/adamw.js';
import { isTrained, type ParameterSpec } from '../../model/parameters.js';
import type { Task } from '../../model/task.js';
import { sizeOf } from '../../util/shape.js';
import { evaluationGraph } from '../graphs.js';
import { evalModelFile, optimizerModelFile, trainingModelFile } from '../manifest.js';
import type { ChunkedFile } from '../write.js';
import { type CheckpointTensor, encodeCheckpoint, inlineSize } from './checkpoint.js';
import { accumulatingTrainingGraph, sequenceAdamWGraph } from './graphs.js';

export const checkpointFile = 'checkpoint';
/** Where ONNX Runtime looks for the numbers that a checkpoint leaves out. */
export const checkpointDataFile = `${checkpointFile}.data`;

/** FlatBuffers end at 2 GiB; weights of more than this go into the file beside. */
const largestInlineBytes = 1.5 * 2 ** 30;
/** Tensors below this size stay in the checkpoint, as in those that ONNX Runtime writes. */
const smallestExternalBytes = 64;

export interface OnnxRuntimeTrainingOptions {
  readonly batchSize: number;
  /** Micro-batches in a step. */
  readonly accumIter: number;
  /** Weight decay of every trained parameter: ONNX Runtime's optimizer knows one group. */
  readonly weightDecay: number;
  /** Seed of the fresh weights. */
  readonly seed: number;
}

/**
 * The files that ONNX Runtime's on-device training loads (`onnxruntime.training.api` 1.19): three graphs and a
 * checkpoint with fresh weights. Same options, same bytes.
 */
export function buildOnnxRuntimeTraining(
  task: Task,
  { batchSize, accumIter, weightDecay, seed }: OnnxRuntimeTrainingOptions,
  inlineLimit = largestInlineBytes,
): Map<string, Uint8Array | ChunkedFile> {
  const training = accumulatingTrainingGraph(task, batchSize, accumIter);
  const evaluation = evaluationGraph(task, batchSize);
  return new Map([
    [trainingModelFile, encodeModel(expandDefinitions(training))],
    [evalModelFile, encodeModel(expandDefinitions(evaluation))],
    [optimizerModelFile, encodeModel(sequenceAdamWGraph(adamWDefaults, weightDecay))],
    ...checkpointFiles(task.parameters, seed, inlineLimit),
  ]);
}

/** The checkpoint and, for models over `inlineLimit` bytes, the file with the numbers it leaves out. */
function checkpointFiles(
  specs: readonly ParameterSpec[],
  seed: number,
  inlineLimit: number,
): [string, Uint8Array | ChunkedFile][] {
  const numbersOf = (index: number): Float32Array => {
    const spec = specs[index]!;
    const numbers = new Float32Array(sizeOf(spec.shape));
    initialize(numbers, spec, seed, index);
    return numbers;
  };
  const sizes = specs.map(({ shape }) => 4 * sizeOf(shape));
  const tooLarge = sum(sizes) > inlineLimit;
  const external = sizes.map((size) => tooLarge && size >= smallestExternalBytes);
  const externalSizes = sizes.map((size, index) => (external[index] ? size : 0));

  function* tensors(): Generator<CheckpointTensor> {
    for (const [index, { name, shape, group }] of specs.entries()) {
      const data = external[index]
        ? { externalOffset: sum(externalSizes.slice(0, index)) }
        : numbersOf(index);
      yield { name, shape, trained: isTrained({ group }), data };
    }
  }
  function* chunks(): Generator<Uint8Array> {
    for (const index of specs.keys()) if (external[index]) yield new Uint8Array(numbersOf(index).buffer);
  }
  const inlineBytes = sum(specs.map(({ shape }, index) => inlineSize(shape, external[index]!)));
  const checkpoint = encodeCheckpoint(tensors(), inlineBytes);
  const data = { byteLength: sum(externalSizes), chunks };
  return [
    [checkpointFile, checkpoint],
    ...(tooLarge ? [[checkpointDataFile, data] as [string, ChunkedFile]] : []),
  ];
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
