import { gradients } from '../../compiler/autodiff/gradients.js';
import { scalarLike } from '../../compiler/graph/constant.js';
import { type Graph, input, sequenceInput } from '../../compiler/graph/graph.js';
import { adamWOptimizer, inPlaceAccumulator } from '../../compiler/graph/ops/microsoft.js';
import type { ModelConfig } from '../../model/config.js';
import { type MaeLossOptions, maeInputs, maeLoss } from '../../model/mae.js';
import type { AdamWOptions } from '../../model/optim/adamw.js';
import { maeParameters } from '../../model/parameters.js';
import { gradientName, parameterInputs } from '../graphs.js';

/**
 * Forward, backward and accumulation in one graph, with the names and the order by which ONNX Runtime's training
 * session tells inputs and outputs apart (`onnxruntime.training.artifacts.generate_artifacts` writes them so).
 *
 * Inputs: images, ids_shuffle, the parameters, `<parameter>_grad.accumulation.buffer` for each that is trained,
 * lazy_reset_grad. Outputs: loss, `<parameter>_grad.accumulation.out`.
 *
 * @param options accumIter: micro-batches in a step; their gradients add up to their mean.
 */
export function accumulatingTrainingGraph(
  config: ModelConfig,
  batchSize: number,
  options: MaeLossOptions & { accumIter: number },
): Graph {
  const specs = maeParameters(config);
  const { values, p } = parameterInputs(specs);
  const inputs = maeInputs(config, batchSize);
  const loss = maeLoss(config, p, inputs, options);
  const trained = specs.filter(({ group }) => group !== 'fixed').map(({ name }) => p(name));
  const gradientOf = gradients(loss, scalarLike(loss, 1 / options.accumIter), trained);
  const lazyResetGrad = input('lazy_reset_grad', 'bool', [1]);
  const accumulators = trained.map((parameter) => {
    const name = gradientName(parameter);
    const buffer = input(`${name}.accumulation.buffer`, 'float32', parameter.shape);
    const updated = inPlaceAccumulator(buffer, gradientOf.get(parameter)!, lazyResetGrad);
    return { buffer, output: { name: `${name}.accumulation.out`, value: updated } };
  });
  return {
    name: 'training_model',
    inputs: [
      inputs.images,
      inputs.idsShuffle,
      ...values.values(),
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
