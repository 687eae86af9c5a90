/**
 * A second task, to hold the trainer, the loader and the loop to what the manifest says: a Vision Transformer that tells
 * the class of an image. Patch embedding, encoder, mean of the patch tokens, norm, head, cross entropy with soft targets.
 */
import type { GraphOutput, Value } from '../../src/compiler/graph/graph.js';
import { add, exp, mul, neg, sub } from '../../src/compiler/graph/ops/elementwise.js';
import { concat, expand, reshape, slice } from '../../src/compiler/graph/ops/movement.js';
import { reduceLogSumExp, reduceMean, reduceSum } from '../../src/compiler/graph/ops/reduction.js';
import { imageSize, type ModelConfig, patchCount } from '../../src/model/config.js';
import { layerNorm, linear, type Parameters } from '../../src/model/layers.js';
import { encoderParameters, type ParameterSpec } from '../../src/model/parameters.js';
import type { Batch, OnBlock, Task } from '../../src/model/task.js';
import { embedPatches, forwardBlocks, normalize, patchify } from '../../src/model/vit.js';
import { batchNormParameters, evaluatedBatchNorm, trainedBatchNorm } from './batch-norm.js';

/** @param batchNorm whether batch norm takes the place of the norm before the head */
export function classifierTask(config: ModelConfig, classes: number, { batchNorm = false } = {}): Task {
  const { height, width } = imageSize(config);
  return {
    name: 'classifier',
    model: config,
    options: { classes },
    metadata: { task: 'classifier', classes: String(classes) },
    parameters: [...encoderParameters(config), ...headParameters(config.embedDim, classes, batchNorm)],
    inputs: (batchSize) => [
      { name: 'images', type: 'uint8', shape: [batchSize, height, width, 3], content: 'pixels' },
      { name: 'targets', type: 'float32', shape: [batchSize, classes], content: 'class' },
    ],
    loss(p, batch, onBlock, onBuffer) {
      const pooled = forward(config, p, batch, onBlock);
      const x = batchNorm ? trainedBatchNorm(pooled, p, onBuffer) : layerNorm(pooled, p, 'fc_norm');
      return reduceMean(crossEntropies(linear(x, p, 'head'), batch('targets')), [0]);
    },
    evaluation: (p, batch): GraphOutput[] => {
      const pooled = forward(config, p, batch);
      const x = batchNorm ? evaluatedBatchNorm(pooled, p) : layerNorm(pooled, p, 'fc_norm');
      const logits = linear(x, p, 'head');
      const losses = crossEntropies(logits, batch('targets'));
      // softmax: outputs have to be results of nodes that nothing else names
      const probabilities = exp(sub(logits, logSumExp(logits)));
      return [
        { name: 'image_loss', value: losses },
        { name: 'probabilities', value: probabilities },
      ];
    },
  };
}

function headParameters(width: number, classes: number, batchNorm: boolean): ParameterSpec[] {
  const norm: ParameterSpec[] = [
    { name: 'fc_norm.weight', shape: [width], group: 'notDecayed', initialization: { kind: 'ones' } },
    { name: 'fc_norm.bias', shape: [width], group: 'notDecayed', initialization: { kind: 'zeros' } },
  ];
  return [
    ...(batchNorm ? batchNormParameters(width) : norm),
    {
      name: 'head.weight',
      shape: [classes, width],
      group: 'decayed',
      initialization: { kind: 'normal', deviation: 0.02 },
    },
    { name: 'head.bias', shape: [classes], group: 'notDecayed', initialization: { kind: 'zeros' } },
  ];
}

/** The mean of the patch tokens, [B, D]. */
function forward(config: ModelConfig, p: Parameters, batch: Batch, onBlock?: OnBlock): Value {
  const images = batch('images');
  const count = images.shape[0]!;
  const patches = patchCount(config);
  const size = 3 * config.patchSize ** 2;
  const pixels = normalize(reshape(patchify(images, config.patchSize), [count, patches, size]));
  const cls = expand(p('cls_token'), [count, 1, config.embedDim]);
  const x = add(concat([cls, embedPatches(pixels, p)], 1), p('pos_embed')); // [B, 1 + L, D]
  const tokens = forwardBlocks(config, p, x, onBlock);
  return reduceMean(slice(tokens, 1, 1, 1 + patches), [1]);
}

function logSumExp(logits: Value): Value {
  return reduceLogSumExp(logits, [-1], true);
}

/** −Σ t·log softmax(x) for each image. [B, C], [B, C] → [B]. */
function crossEntropies(logits: Value, targets: Value): Value {
  const logProbabilities = sub(logits, logSumExp(logits));
  return neg(reduceSum(mul(targets, logProbabilities), [-1]));
}
