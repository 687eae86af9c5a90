import { expect, test } from 'vitest';
import { UserError } from '../../../src/util/errors.js';
import { checkParameters } from '../../../src/weights/checkpoint/check-parameters.js';

const wanted = [
  { name: 'norm.weight', shape: [4] },
  { name: 'blocks.0.attn.qkv.weight', shape: [12, 4] },
];

function fileOf(shapes: Record<string, number[]>, missingParts?: string[]) {
  const tensors = new Map(Object.entries(shapes).map(([name, shape]) => [name, { shape }]));
  return { path: 'a.safetensors', tensors, ...(missingParts && { missingParts }) };
}

const whole = { 'norm.weight': [4], 'blocks.0.attn.qkv.weight': [12, 4] };

test('tensors that the model does not have are no obstacle', () => {
  expect(() => checkParameters(fileOf({ ...whole, 'head.weight': [2] }), wanted)).not.toThrow();
});

test('what is missing is told with what is there instead, but the decoder', () => {
  const { 'norm.weight': _, ...rest } = whole;
  const file = fileOf({ ...rest, 'fc_norm.weight': [4], mask_token: [1, 1, 2], 'decoder_pred.bias': [3] });
  expect(() => checkParameters(file, wanted)).toThrow(
    new UserError(
      'checkpoint: a.safetensors does not fit the model: norm.weight is missing (it has others: fc_norm.weight)',
    ),
  );
});

test('a shape that differs is told beside the wanted one, without the other names', () => {
  const file = fileOf({ ...whole, 'norm.weight': [2, 2], 'head.weight': [2] });
  expect(() => checkParameters(file, wanted)).toThrow(
    new UserError('checkpoint: a.safetensors does not fit the model: norm.weight is [2, 2] instead of [4]'),
  );
});

test('a part of queries, keys and values that is missing stands for the whole', () => {
  const file = fileOf({ 'norm.weight': [4] }, ['the key part of blocks.0.attn.qkv.weight']);
  expect(() => checkParameters(file, wanted)).toThrow(
    new UserError(
      'checkpoint: a.safetensors does not fit the model: the key part of blocks.0.attn.qkv.weight is missing',
    ),
  );
});
