/** Graphs to take away: pixel_values float32 [batch, 3, H, W], normalised, in; any number of images. */
import { type Graph, input, type Value } from '../compiler/graph/graph.js';
import { anySizeTokens, type Positions } from '../model/any-size.js';
import {
  type ClassifierPool,
  type EncoderNorm,
  headParameters,
  normedEncoder,
} from '../model/classifier-parameters.js';
import { imageSize, layerNormEps, type ModelConfig } from '../model/config.js';
import { layerNorm, linear, type Parameters } from '../model/layers.js';
import { vitTokens } from '../model/vit.js';
import { declareParameters, type Pool, pooled } from './graphs.js';

export interface EncoderGraphOptions {
  readonly norm?: EncoderNorm | undefined;
  /** Those of pictures of any size; of the model's own size alone where not given. */
  readonly positions?: Positions | undefined;
}

/** The exported encoder: features [batch, D], or last_hidden_state [batch, 1 + L, D]. */
export function encoderGraph(
  config: ModelConfig,
  pool: Pool,
  { norm = 'norm', positions }: EncoderGraphOptions = {},
): Graph {
  const { byName: p, values } = declareParameters(normedEncoder(config, norm));
  const pixelValues = pixelInput(config, positions);
  return {
    name: 'encoder',
    inputs: [pixelValues, ...values],
    outputs: [
      {
        name: pool === 'none' ? 'last_hidden_state' : 'features',
        value: exportedFeatures(config, p, pixelValues, pool, norm, positions),
      },
    ],
  };
}

/**
 * The encoder as pipelines of transformers ask for it: last_hidden_state [batch, 1 + L, D], and one vector a picture,
 * pooler_output [batch, D].
 */
export function featureExtractionGraph(config: ModelConfig, pool: 'mean' | 'cls'): Graph {
  const { byName: p, values } = declareParameters(normedEncoder(config, 'norm'));
  const pixelValues = pixelInput(config);
  const tokens = exportedFeatures(config, p, pixelValues, 'none', 'norm');
  return {
    name: 'encoder',
    inputs: [pixelValues, ...values],
    outputs: [
      { name: 'last_hidden_state', value: tokens },
      { name: 'pooler_output', value: pooled(tokens, pool) },
    ],
  };
}

/** The exported classifier: logits [batch, C]. */
export function classifierGraph(
  config: ModelConfig,
  pool: ClassifierPool,
  norm: EncoderNorm,
  classes: number,
): Graph {
  const { byName: p, values } = declareParameters([
    ...normedEncoder(config, norm),
    ...headParameters(config, classes, 0),
  ]);
  const pixelValues = pixelInput(config);
  const logits = linear(exportedFeatures(config, p, pixelValues, pool, norm), p, 'head');
  return {
    name: 'classifier',
    inputs: [pixelValues, ...values],
    outputs: [{ name: 'logits', value: logits }],
  };
}

/** `anySizeTokens` wants a batch that is not 1. */
function pixelInput(config: ModelConfig, positions?: Positions): Value {
  const { height, width } = imageSize(config);
  return input('pixel_values', 'float32', [positions === undefined ? 1 : 2, 3, height, width]);
}

function exportedFeatures(
  config: ModelConfig,
  p: Parameters,
  pixelValues: Value,
  pool: Pool,
  norm: EncoderNorm,
  positions?: Positions,
): Value {
  const tokens =
    positions === undefined
      ? vitTokens(config, p, pixelValues)
      : anySizeTokens(config, p, pixelValues, positions);
  const normed = (x: Value) => layerNorm(x, p, norm, layerNormEps(config));
  return norm === 'norm' ? pooled(normed(tokens), pool) : normed(pooled(tokens, pool));
}
