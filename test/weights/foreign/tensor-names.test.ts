import { expect, test } from 'vitest';
import { maeParameters } from '../../../src/model/parameters.js';
import {
  fromTransformersName,
  inPublishedNames,
  toTransformersNames,
} from '../../../src/weights/foreign/tensor-names.js';
import type { WeightSource } from '../../../src/weights/foreign/weight-source.js';
import { tinyModel } from '../../support/cli-files.js';

/** A file in memory. */
function sourceOf(tensors: Record<string, [shape: number[], data: number[]]>): WeightSource {
  return {
    path: 'memory',
    tensors: new Map(Object.entries(tensors).map(([name, [shape]]) => [name, { dtype: 'F32', shape }])),
    metadata: {},
    readFloat32: async (name) => Float32Array.from(tensors[name]![1]),
    close: async () => {},
  };
}

test.each([
  ['vit.embeddings.cls_token', 'cls_token'],
  ['embeddings.position_embeddings', 'pos_embed'],
  ['vit.encoder.layer.11.attention.output.dense.bias', 'blocks.11.attn.proj.bias'],
  ['vit.encoder.layer.0.output.dense.weight', 'blocks.0.mlp.fc2.weight'],
  ['vit.layers.3.attention.o_proj.weight', 'blocks.3.attn.proj.weight'],
  ['layers.3.mlp.fc1.bias', 'blocks.3.mlp.fc1.bias'],
  ['vit.layernorm.weight', 'norm.weight'],
  ['decoder.decoder_layers.7.layernorm_after.weight', 'decoder_blocks.7.norm2.weight'],
  ['decoder.decoder_encoder.layer.7.intermediate.dense.bias', 'decoder_blocks.7.mlp.fc1.bias'],
  ['decoder.decoder_pred.weight', 'decoder_pred.weight'],
  ['decoder.mask_token', 'mask_token'],
])('%s is %s', (name, published) => {
  expect(fromTransformersName(name)).toEqual({ name: published });
});

test.each([
  ['vit.encoder.layer.0.attention.attention.key.weight', 'blocks.0.attn.qkv.weight', 1],
  ['decoder.decoder_layers.0.attention.v_proj.bias', 'decoder_blocks.0.attn.qkv.bias', 2],
] as const)('%s is a part of %s', (name, published, part) => {
  expect(fromTransformersName(name)).toEqual({ name: published, part });
});

test('other names are of nobody', () => {
  for (const name of ['pooler.dense.weight', 'blocks.0.norm1.weight', 'vit.layers.0.gamma', 'constructor']) {
    expect(fromTransformersName(name)).toBeUndefined();
  }
});

test('every parameter goes to transformers and back', () => {
  const seen = new Set<string>();
  for (const { name } of maeParameters(tinyModel)) {
    const names = toTransformersNames(name);
    expect(names).toHaveLength(name.includes('.qkv.') ? 3 : 1);
    names.forEach((given, part) => {
      expect(seen.has(given)).toBe(false);
      seen.add(given);
      expect(fromTransformersName(given)).toEqual(names.length === 1 ? { name } : { name, part });
    });
  }
  expect(toTransformersNames('cls_token', true)).toEqual(['embeddings.cls_token']);
  expect(() => toTransformersNames('fc_norm.weight')).toThrow('no parameter of the model');
});

test('queries, keys and values are joined in this order, whatever theirs in the file', async () => {
  const source = inPublishedNames(
    sourceOf({
      'module.vit.layers.0.attention.v_proj.weight': [
        [1, 2],
        [5, 6],
      ],
      'module.vit.layers.0.attention.q_proj.weight': [
        [1, 2],
        [1, 2],
      ],
      'module.vit.layers.0.attention.k_proj.weight': [
        [1, 2],
        [3, 4],
      ],
      'module.norm.bias': [[2], [7, 8]],
    }),
  );
  expect(source.tensors.get('blocks.0.attn.qkv.weight')).toMatchObject({ dtype: 'F32', shape: [3, 2] });
  expect([...(await source.readFloat32('blocks.0.attn.qkv.weight'))]).toEqual([1, 2, 3, 4, 5, 6]);
  expect([...(await source.readFloat32('norm.bias'))]).toEqual([7, 8]);
});

test('parts that are missing are named; parts that do not fit, and doubles, are refused', () => {
  const query = 'vit.layers.0.attention.q_proj.bias';
  const value = 'vit.layers.0.attention.v_proj.bias';
  const source = inPublishedNames(sourceOf({ [query]: [[1], [1]], [value]: [[1], [1]] }));
  expect(source.missingParts).toEqual(['the key part of blocks.0.attn.qkv.bias']);
  expect(source.tensors.size).toBe(0);
  const key = 'vit.layers.0.attention.k_proj.bias';
  const all = { [query]: [[1], [1]], [key]: [[1], [1]], [value]: [[2], [1, 2]] } as const;
  expect(() => inPublishedNames(sourceOf(structuredClone(all) as never))).toThrow(
    'expected queries, keys and values of one shape for blocks.0.attn.qkv.bias in memory, got [1], [1], [2]',
  );
  const twice = { 'norm.bias': [[1], [1]], 'vit.layernorm.bias': [[1], [1]] } as const;
  expect(() => inPublishedNames(sourceOf(structuredClone(twice) as never))).toThrow(
    'expected norm.bias once in memory, got it as norm.bias and as vit.layernorm.bias',
  );
});
