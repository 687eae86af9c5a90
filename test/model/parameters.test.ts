import { describe, expect, test } from 'vitest';
import type { ModelConfig } from '../../src/model/config.js';
import {
  decoderParameters,
  encoderParameters,
  maeParameters,
  type ParameterSpec,
} from '../../src/model/parameters.js';
import { sinCosPositions } from '../../src/model/positions.js';
import { loadModelConfig, presetDescription, presetNameOf, presetNames } from '../../src/model/presets.js';
import { sizeOf } from '../../src/util/shape.js';
import '../support/allclose.js';
import { float32, readGoldenTensors } from '../support/goldens.js';

const count = (specs: readonly ParameterSpec[]): number =>
  specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** Numbers of the model by the paper's architecture: D and E the widths, P the numbers in a patch, L the patches. */
function countByFormula(config: ModelConfig): number {
  const { embedDim: D, depth, decoderEmbedDim: E, decoderDepth } = config;
  const L = (Number(config.inputSize) / config.patchSize) ** 2;
  const P = 3 * config.patchSize ** 2;
  // two norms 4W, qkv 3W² + 3W, projection W² + W, MLP of 4W: 8W² + 5W
  const block = (W: number) => 12 * W * W + 13 * W;
  const encoder = D + (1 + L) * D + (P * D + D) + depth * block(D) + 2 * D;
  const decoder = E + (1 + L) * E + (D * E + E) + decoderDepth * block(E) + 2 * E + (E * P + P);
  return encoder + decoder;
}

describe('presets', () => {
  // encoder width, depth, heads; decoder width, depth, heads: Tables 1 and 8 of the paper for base, large and huge
  const presets: Record<string, [number, number, number, number, number, number, number, number]> = {
    mae_vit_base_patch16: [224, 16, 768, 12, 12, 512, 8, 16],
    mae_vit_huge_patch14: [224, 14, 1280, 32, 16, 512, 8, 16],
    mae_vit_large_patch16: [224, 16, 1024, 24, 16, 512, 8, 16],
    mae_vit_nano_patch8_64: [64, 8, 192, 6, 3, 96, 2, 3],
    mae_vit_small_patch16: [224, 16, 384, 12, 6, 256, 4, 8],
    // of CrossMAE's code, without cross-attention
    mae_vit_small_patch16_dec256d8b: [224, 16, 384, 12, 6, 256, 8, 8],
    // of stable-pretraining's benchmark on Imagenette
    mae_vit_small_patch16_dec384d4b: [224, 16, 384, 12, 6, 384, 4, 6],
    mae_vit_tiny_patch16: [224, 16, 192, 12, 3, 128, 4, 4],
    // of MAE-Lite
    mae_vit_tiny_patch16_dec96d1b: [224, 16, 192, 12, 12, 96, 1, 3],
    // of IcarusWizard/MAE on CIFAR-10
    mae_vit_tiny_patch2_32: [32, 2, 192, 12, 3, 192, 4, 3],
  };

  test('are these, each with a line of what it is for', () => {
    expect(presetNames()).toEqual(Object.keys(presets));
    for (const name of presetNames()) expect(presetDescription(name), name).toMatch(/^[A-Z].{20,110}[^.]$/);
  });

  test('are known by their sizes, at any input size', () => {
    for (const name of presetNames()) {
      const config = loadModelConfig(name);
      expect(presetNameOf(config)).toBe(name);
      expect(presetNameOf({ ...config, inputSize: [config.patchSize, 3 * config.patchSize] })).toBe(name);
    }
    expect(presetNameOf({ ...loadModelConfig('mae_vit_tiny_patch16'), numHeads: 12 })).toBeUndefined();
  });

  test.each(Object.entries(presets))('%s has its published sizes', (name, sizes) => {
    const config = loadModelConfig(name);
    const {
      inputSize,
      patchSize,
      embedDim,
      depth,
      numHeads,
      decoderEmbedDim,
      decoderDepth,
      decoderNumHeads,
    } = config;
    expect([
      inputSize,
      patchSize,
      embedDim,
      depth,
      numHeads,
      decoderEmbedDim,
      decoderDepth,
      decoderNumHeads,
    ]).toEqual(sizes);
    expect(config.mlpRatio).toBe(4);
    expect(count(maeParameters(config))).toBe(countByFormula(config));
  });

  // as the published models count, positions included
  test.each([
    ['mae_vit_base_patch16', 111.9],
    ['mae_vit_large_patch16', 329.5],
    ['mae_vit_huge_patch14', 657.1],
  ])('%s has %d million parameters', (name, millions) => {
    expect(Math.round(count(maeParameters(loadModelConfig(name))) / 1e5) / 10).toBe(millions);
  });
});

describe('maeParameters', () => {
  const config = loadModelConfig('mae_vit_nano_patch8_64');
  const specs = maeParameters(config);

  test('names each parameter once, the encoder first', () => {
    const names = specs.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(specs).toEqual([...encoderParameters(config), ...decoderParameters(config)]);
    expect(names.filter((name) => !/^(decoder_)?blocks\./.test(name))).toEqual([
      'cls_token',
      'pos_embed',
      'patch_embed.proj.weight',
      'patch_embed.proj.bias',
      'norm.weight',
      'norm.bias',
      'mask_token',
      'decoder_pos_embed',
      'decoder_embed.weight',
      'decoder_embed.bias',
      'decoder_norm.weight',
      'decoder_norm.bias',
      'decoder_pred.weight',
      'decoder_pred.bias',
    ]);
    expect(names.filter((name) => name.startsWith('decoder_blocks.1.'))).toEqual(
      ['norm1', 'attn.qkv', 'attn.proj', 'norm2', 'mlp.fc1', 'mlp.fc2'].flatMap((layer) =>
        ['weight', 'bias'].map((kind) => `decoder_blocks.1.${layer}.${kind}`),
      ),
    );
  });

  test('decays matrices and the two tokens; not vectors; positions are fixed', () => {
    for (const { name, shape, group } of specs) {
      const expected = name.endsWith('pos_embed') ? 'fixed' : shape.length === 1 ? 'notDecayed' : 'decayed';
      expect(group, name).toBe(expected);
      if (/bias|norm/.test(name)) expect(group, name).toBe('notDecayed');
    }
    expect(specs.filter(({ group }) => group === 'fixed')).toHaveLength(2);
    expect(specs.find(({ name }) => name === 'mask_token')?.group).toBe('decayed');
  });
});

describe('sinCosPositions', () => {
  const golden = readGoldenTensors('positions');

  test.each([
    [48, 4],
    [192, 8],
    [128, 14],
  ])('width %d on a grid of %d', (width, grid) => {
    const expected = golden(`${width}x${grid}`);
    const table = sinCosPositions(grid, grid, width);
    expect(expected.shape).toEqual([1 + grid * grid, width]);
    expect(table).toBeAllclose(float32(expected), { rtol: 1e-6, atol: 1e-6 });
    expect(table.subarray(0, width)).toEqual(new Float32Array(width));
  });

  test('columns come first, rows second, on a grid that is not square', () => {
    const [rows, columns, width] = [2, 3, 8];
    const table = sinCosPositions(rows, columns, width);
    expect(table).toHaveLength((1 + rows * columns) * width);
    // row 1, column 2: patch 5, ω = 1 and 0.01
    expect(table.subarray(6 * width)).toBeAllclose(
      [2, 0.02]
        .map(Math.sin)
        .concat([2, 0.02].map(Math.cos), [1, 0.01].map(Math.sin), [1, 0.01].map(Math.cos)),
      { rtol: 1e-6 },
    );
  });
});
