import type { ModelConfig } from '../../src/model/config.js';

/** 16 patches, two blocks in the encoder and one in the decoder, heads of another width in each. */
export const smallModel: ModelConfig = {
  inputSize: 32,
  patchSize: 8,
  embedDim: 24,
  depth: 2,
  numHeads: 3,
  decoderEmbedDim: 16,
  decoderDepth: 1,
  decoderNumHeads: 2,
  mlpRatio: 4,
};
