import { evaluationGraph, outputsOf } from '../artifact/graphs.js';
import type { Graph } from '../compiler/graph/graph.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { finetuneTask, linprobeTask } from '../model/classifier.js';
import { imageInputs } from '../model/mask.js';
import type { Task } from '../model/task.js';
import type { Runtime } from '../runtime/runtime.js';
import { Evaluator } from '../train/engine/evaluator.js';
import type { Classifier } from '../weights/foreign/classifier.js';

/**
 * The evaluation graph of a classifier, ready to run without targets: `images` uint8 [B, H, W, 3] in, `logits` [B, C] out.
 * In float32, by the custom operators where the runtime has them.
 */
export function openClassifier(runtime: Runtime, classifier: Classifier, batchSize: number): Evaluator {
  const task = taskOf(classifier);
  const graph = lowerGraph(logitsGraph(evaluationGraph(task, batchSize)), {
    kernelPrecision: runtime.kernelsPath === undefined ? undefined : 'fp32',
    lacks: runtime.device.lacks,
  });
  const { config, parameters } = classifier;
  const description = {
    inputs: imageInputs(config, batchSize),
    outputs: outputsOf(graph),
    parameters: task.parameters,
  };
  return new Evaluator(runtime, encodeModel(graph), description, (name) => parameters.get(name)!);
}

function taskOf({ config, isProbe, classes, pool }: Classifier): Task {
  if (isProbe) return linprobeTask(config, { classes, pool });
  const ofTraining = { layerDecay: 1, smoothing: 0, hasDropPath: false, hasMix: false, hasErasing: false };
  return finetuneTask(config, { classes, pool, ...ofTraining });
}

function logitsGraph(graph: Graph): Graph {
  return {
    ...graph,
    inputs: graph.inputs.filter(({ source }) => source.kind !== 'input' || source.name !== 'targets'),
    outputs: graph.outputs.filter(({ name }) => name === 'logits'),
  };
}
