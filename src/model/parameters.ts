import type { Shape } from '../util/shape.js';
import { type ModelConfig, patchCount, patchGrid } from './config.js';

/** How a parameter starts; see `initialize.ts`. */
export type Initialization =
  | { kind: 'zeros' | 'ones' | 'xavier-uniform' }
  | { kind: 'normal' | 'truncated-normal'; deviation: number }
  | { kind: 'uniform'; bound: number }
  | { kind: 'sin-cos-positions'; rows: number; columns: number };

/** Weight decay applies to `decayed` parameters only; `fixed` ones are not trained. */
export type ParameterGroup = 'decayed' | 'notDecayed' | 'fixed';

export interface ParameterSpec {
  /** The name in the paper's published code. */
  readonly name: string;
  readonly shape: Shape;
  readonly group: ParameterGroup;
  readonly initialization: Initialization;
  /** What the learning rate is multiplied by for it (layer-wise decay); 1 where not given. */
  readonly lrScale?: number;
}

export function isTrained({ group }: Pick<ParameterSpec, 'group'>): boolean {
  return group !== 'fixed';
}

export function lrScaleOf({ lrScale = 1 }: Pick<ParameterSpec, 'lrScale'>): number {
  return lrScale;
}

/** Every parameter of the encoder, in the order of the published state dict. */
export function encoderParameters(config: ModelConfig): ParameterSpec[] {
  const { embedDim: width, patchSize } = config;
  const fanIn = 3 * patchSize ** 2;
  return [
    token('cls_token', width),
    positions('pos_embed', config, width),
    // xavier-uniform over the matrix [D, 3·p·p]; the bias keeps the default of PyTorch's convolution
    weight('patch_embed.proj.weight', [width, 3, patchSize, patchSize]),
    vector('patch_embed.proj.bias', width, { kind: 'uniform', bound: 1 / Math.sqrt(fanIn) }),
    ...blocks('blocks', config.depth, width, config.mlpRatio),
    ...norm('norm', width),
  ];
}

/** Every parameter of the decoder, in the order of the published state dict. */
export function decoderParameters(config: ModelConfig): ParameterSpec[] {
  const { embedDim, decoderEmbedDim: width, patchSize } = config;
  return [
    token('mask_token', width),
    positions('decoder_pos_embed', config, width),
    ...linear('decoder_embed', embedDim, width),
    ...blocks('decoder_blocks', config.decoderDepth, width, config.mlpRatio),
    ...norm('decoder_norm', width),
    ...linear('decoder_pred', width, 3 * patchSize ** 2),
  ];
}

export function maeParameters(config: ModelConfig): ParameterSpec[] {
  return [...encoderParameters(config), ...decoderParameters(config)];
}

/** Whether a parameter is one of the decoder's, by its published name. */
export function isOfDecoder({ name }: { name: string }): boolean {
  return name === 'mask_token' || name.startsWith('decoder_');
}

/** Every parameter of a model, or of its encoder alone. */
export function parametersOf(config: ModelConfig, hasDecoder: boolean): ParameterSpec[] {
  return hasDecoder ? maeParameters(config) : encoderParameters(config);
}

function token(name: string, width: number): ParameterSpec {
  return {
    name,
    shape: [1, 1, width],
    group: 'decayed',
    initialization: { kind: 'normal', deviation: 0.02 },
  };
}

function positions(name: string, config: ModelConfig, width: number): ParameterSpec {
  const shape = [1, 1 + patchCount(config), width];
  return { name, shape, group: 'fixed', initialization: { kind: 'sin-cos-positions', ...patchGrid(config) } };
}

function weight(name: string, shape: Shape): ParameterSpec {
  return { name, shape, group: 'decayed', initialization: { kind: 'xavier-uniform' } };
}

/** 1-D parameters are exempt from weight decay. */
function vector(name: string, size: number, initialization: Initialization): ParameterSpec {
  return { name, shape: [size], group: 'notDecayed', initialization };
}

function linear(name: string, fanIn: number, fanOut: number): ParameterSpec[] {
  return [weight(`${name}.weight`, [fanOut, fanIn]), vector(`${name}.bias`, fanOut, { kind: 'zeros' })];
}

function norm(name: string, width: number): ParameterSpec[] {
  return [
    vector(`${name}.weight`, width, { kind: 'ones' }),
    vector(`${name}.bias`, width, { kind: 'zeros' }),
  ];
}

function blocks(name: string, depth: number, width: number, mlpRatio: number): ParameterSpec[] {
  return Array.from({ length: depth }, (_, i) => [
    ...norm(`${name}.${i}.norm1`, width),
    ...linear(`${name}.${i}.attn.qkv`, width, 3 * width),
    ...linear(`${name}.${i}.attn.proj`, width, width),
    ...norm(`${name}.${i}.norm2`, width),
    ...linear(`${name}.${i}.mlp.fc1`, width, mlpRatio * width),
    ...linear(`${name}.${i}.mlp.fc2`, mlpRatio * width, width),
  ]).flat();
}
