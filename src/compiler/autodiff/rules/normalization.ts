import type { NormalizationOp } from '../../graph/op.js';
import { attentionGrad, layerNormalizationGrad, softmaxGrad } from '../../graph/ops/gradient.js';
import type { Rules } from '../rule.js';

export const normalizationRules: Rules<NormalizationOp> = {
  Softmax: ({ outputs: [y], dy }) => [softmaxGrad(dy, y!)],
  LayerNormalization: ({ inputs: [x, scale, bias], outputs: [, mean, invStdDev], attributes, dy }) => {
    const epsilon = attributes['epsilon'] as number;
    return layerNormalizationGrad(dy, x!, scale!, bias!, mean!, invStdDev!, epsilon).slice(0, 3);
  },
  Attention: ({ inputs: [qkv], outputs: [output, logSumExp], attributes, dy }) => [
    attentionGrad(dy, qkv!, output!, logSumExp!, attributes['scale'] as number),
  ],
};
