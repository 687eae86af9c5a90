import { gradients } from '../../compiler/autodiff/gradients.js';
import { scalarLike } from '../../compiler/graph/constant.js';
import { type Graph, input, sequenceInput } from '../../compiler/graph/graph.js';
import { adamWOptimizer, inPlaceAccumulator } from '../../compiler/graph/ops/microsoft.js';
import { accumulationName, gradientName } from '../../compiler/training-names.js';
import type { AdamWOptions } from '../../model/optim/adamw.js';
import { isTrained } from '../../model/parameters.js';
import type { Task } from '../../model/task.js';
import { declareBatch, declareParameters } from '../graphs.js';

/**
 * Forward, backward and accumulation in one graph, with the names and the order by which ONNX Runtime's training
 * session tells inputs and outputs apart (`onnxruntime.training.artifacts.generate_artifacts` writes them so).
 *
 * Inputs: the task's, the parameters, `<parameter>_grad.accumulation.buffer` for each that is trained, lazy_reset_grad.
 * Outputs: loss, `<parameter>_grad.accumulation.out`.
 *
 * @param accumIter micro-batches in a step; their gradients add up to their mean.
 */
export function accumulatingTrainingGraph(task: Task, batchSize: number, accumIter: number): Graph {
  const parameters = declareParameters(task.parameters);
  const batch = declareBatch(task.inputs(batchSize));
  const loss = task.loss(parameters.byName, batch.byName);
  const trained = task.parameters.filter(isTrained);
  const gradientOf = gradients(
    loss,
    scalarLike(loss, 1 / accumIter),
    trained.map(({ name }) => parameters.byName(name)),
  );
  const lazyResetGrad = input('lazy_reset_grad', 'bool', [1]);
  const accumulators = trained.map(({ name, shape }) => {
    const buffer = input(accumulationName(name), 'float32', shape);
    const updated = inPlaceAccumulator(buffer, gradientOf.get(parameters.byName(name))!, lazyResetGrad);
    return { buffer, output: { name: `${gradientName(name)}.accumulation.out`, value: updated } };
  });
  return {
    name: 'training_model',
    inputs: [
      ...batch.values,
      ...parameters.values,
      ...accumulators.map(({ buffer }) => buffer),
      lazyResetGrad,
    ],
    outputs: [{ name: 'loss', value: loss }, ...accumulators.map(({ output }) => output)],
  };
}

/**
 * One AdamW over sequences of all trained parameters, updated in place. PyTorch's form (adam_mode 0); the learning
 * rate and the step come from the training session. Output: updated_flag.
 */
export function sequenceAdamWGraph(options: AdamWOptions, weightDecay: number): Graph {
  const learningRate = input('learning_rate', 'float32', [1]);
  const step = input('step', 'int64', [1]);
  const sequences = {
    parameters: sequenceInput('params', 'float32'),
    gradients: sequenceInput('gradients', 'float32'),
    firstMoments: sequenceInput('first_order_moments', 'float32'),
    secondMoments: sequenceInput('second_order_moments', 'float32'),
  };
  const updated = adamWOptimizer(learningRate, step, sequences, {
    alpha: options.beta1,
    beta: options.beta2,
    epsilon: options.epsilon,
    weight_decay: weightDecay,
    correct_bias: 1,
    adam_mode: 0,
  });
  return {
    name: 'optimizer_model',
    inputs: [learningRate, step, ...Object.values(sequences)],
    outputs: [{ name: 'updated_flag', value: updated }],
  };
}
