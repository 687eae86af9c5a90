import { attentionGrad, layerNormalizationGrad, softmaxGrad } from '../../graph/ops/gradient.js';
import type { NormalizationOp } from '../../graph/ops/normalization.js';
import type { Rules } from '../rule.js';

export const normalizationRules: Rules<NormalizationOp> = {
  Softmax: ({ outputs: [y], dy }) => [softmaxGrad(dy, y!)],
  LayerNormalization: ({ inputs: [x, scale], outputs: [, mean, invStdDev], dy }) =>
    layerNormalizationGrad(dy, x!, scale!, mean!, invStdDev!),
  Attention: ({ inputs: [query, key, value], outputs: [output, probabilities], attributes, dy }) =>
    attentionGrad(dy, query!, key!, value!, output!, probabilities!, attributes['scale'] as number),
};
