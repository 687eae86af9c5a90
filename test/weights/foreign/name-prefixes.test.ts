/** Names as other code saves them: prefixes of any kind, and OpenMMLab's. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { encoderParameters, maeParameters } from '../../../src/model/parameters.js';
import { inPublishedNames, toTransformersNames } from '../../../src/weights/foreign/tensor-names.js';
import type { WeightSource } from '../../../src/weights/foreign/weight-source.js';
import { loadWeights } from '../../../src/weights/foreign/weights.js';
import { tinyModel } from '../../support/cli-files.js';
import { temporaryFolder } from '../../train/support.js';
import { digestsOf, readPthDigests, weightsPath } from './weight-goldens.js';

const encoder = encoderParameters(tinyModel).map(({ name }) => name);
const decoder = maeParameters(tinyModel)
  .map(({ name }) => name)
  .slice(encoder.length);

/** A file with these names, a number each. */
function sourceOf(names: readonly string[]): WeightSource {
  return {
    path: 'file',
    tensors: new Map(names.map((name) => [name, { dtype: 'F32', shape: [1] }])),
    metadata: {},
    readFloat32: async (name) => Float32Array.of(names.indexOf(name)),
    close: async () => {},
  };
}

const transformers = (encoderOnly: boolean) =>
  (encoderOnly ? encoder : [...encoder, ...decoder]).flatMap((name) =>
    toTransformersNames(name, encoderOnly),
  );
const prefixed = (prefix: string, names: readonly string[]) => names.map((name) => `${prefix}${name}`);

/** What mmpretrain 1.2 calls the parameters of its MAE: backbone MAEViT, neck MAEPretrainDecoder. */
const block = (name: string) => [
  ...['ln1', 'attn.qkv', 'attn.proj', 'ln2', 'ffn.layers.0.0', 'ffn.layers.1'].flatMap((part) => [
    `${name}.${part}.weight`,
    `${name}.${part}.bias`,
  ]),
];
const openMMLab = [
  ...prefixed('backbone.', [
    'cls_token',
    'pos_embed',
    'patch_embed.projection.weight',
    'patch_embed.projection.bias',
  ]),
  ...block('backbone.layers.0'),
  ...prefixed('backbone.', ['ln1.weight', 'ln1.bias']),
  ...prefixed('neck.', ['mask_token', 'decoder_pos_embed', 'decoder_embed.weight', 'decoder_embed.bias']),
  ...block('neck.decoder_blocks.0'),
  ...prefixed('neck.', ['ln1.weight', 'ln1.bias', 'decoder_pred.weight', 'decoder_pred.bias']),
];
const older = openMMLab.map((name) => name.replace(/\.ln([12])\./, '.norm$1.'));

test.each<[string, string[], string[], RegExp[]]>([
  ['as published', [...encoder, ...decoder], [...encoder, ...decoder], []],
  ['DataParallel', prefixed('module.', encoder), encoder, []],
  ['torch.compile', prefixed('_orig_mod.', encoder), encoder, [/_orig_mod\. in its names/]],
  ['Lightning', prefixed('model.', [...encoder, ...decoder]), [...encoder, ...decoder], [/model\. before/]],
  [
    'two parts',
    [...prefixed('encoder.', encoder), ...prefixed('decoder.', decoder)],
    [...encoder, ...decoder],
    [/encoder\./],
  ],
  [
    'a nest',
    prefixed('net.module.backbone._orig_mod.', encoder),
    encoder,
    [/net\.backbone\. /, /_orig_mod\./],
  ],
  ['vit. before published names', prefixed('vit.', encoder), encoder, [/vit\. before/]],
  ['transformers', transformers(false), [...encoder, ...decoder], []],
  ['an encoder of transformers, its own encoder.layer', transformers(true), encoder, []],
  [
    'transformers in Lightning',
    prefixed('model.', transformers(false)),
    [...encoder, ...decoder],
    [/model\. before/],
  ],
  ['OpenMMLab', openMMLab, [...encoder, ...decoder], [/backbone\. and neck\. before/, /names of OpenMMLab/]],
  [
    'OpenMMLab, older',
    older,
    [...encoder, ...decoder],
    [/backbone\. and neck\. before/, /names of OpenMMLab/],
  ],
  [
    'a probe beside',
    [...prefixed('backbone.', encoder), 'norm.weight', 'head.weight'],
    [...encoder],
    [/backbone\./],
  ],
])('%s', async (_, given, wanted, notes) => {
  const source = inPublishedNames(sourceOf(given));
  const known = new Set([...encoder, ...decoder]);
  const found = [...source.tensors.keys()].filter((name) => known.has(name));
  expect(found.sort()).toEqual([...wanted].sort());
  expect(source.missingParts).toEqual([]);
  expect(source.notes).toEqual(notes.map((note) => expect.stringMatching(note)));
});

test('OpenMMLab: each name is that of its place', async () => {
  const source = inPublishedNames(sourceOf(openMMLab));
  const theirs = async (name: string) => openMMLab[(await source.readFloat32(name))[0]!];
  expect(await theirs('norm.weight')).toBe('backbone.ln1.weight');
  expect(await theirs('decoder_norm.bias')).toBe('neck.ln1.bias');
  expect(await theirs('blocks.0.norm2.bias')).toBe('backbone.layers.0.ln2.bias');
  expect(await theirs('blocks.0.mlp.fc1.weight')).toBe('backbone.layers.0.ffn.layers.0.0.weight');
  expect(await theirs('decoder_blocks.0.mlp.fc2.weight')).toBe('neck.decoder_blocks.0.ffn.layers.1.weight');
});

describe('several models in a file', () => {
  test('the average is taken, with a note', async () => {
    const names = [...prefixed('student.', encoder), ...prefixed('teacher.', encoder)];
    const source = inPublishedNames(sourceOf(names));
    expect((await source.readFloat32('cls_token'))[0]).toBe(names.indexOf('teacher.cls_token'));
    expect(source.notes).toEqual([
      expect.stringMatching(/several models \(student\., teacher\.\): teacher\. is/),
    ]);
  });

  test('two of a kind are refused with both named', () => {
    const names = [...prefixed('left.', encoder), ...prefixed('right.', encoder)];
    expect(() => inPublishedNames(sourceOf(names))).toThrow(/got several \(left\., right\.\); save the one/);
  });
});

test.each(['weights.ckpt', 'model.pth.tar', 'weights', 'weights.safetensors'])(
  'a file of torch.save called %s is read',
  async (name) => {
    const path = join(temporaryFolder(), name);
    copyFileSync(weightsPath('encoder-half.pth'), path);
    const { parameters } = await loadWeights(path, encoderParameters);
    expect(digestsOf(parameters)).toEqual(readPthDigests().encoder);
  },
);
