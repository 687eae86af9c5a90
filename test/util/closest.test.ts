import { expect, test } from 'vitest';
import { closest } from '../../src/util/closest.js';

const names = [
  'batch-size',
  'accum-iter',
  'lr',
  'min-lr',
  'blr',
  'epochs',
  'warmup-epochs',
  'output-dir',
  'keep',
];

test.each([
  ['batchsize', 'batch-size'],
  ['batch_size', 'batch-size'],
  ['bach-size', 'batch-size'],
  ['batch', 'batch-size'],
  ['epoch', 'epochs'],
  ['LR', 'lr'],
  ['outputdir', 'output-dir'],
  ['weights', undefined],
  ['x', undefined],
])('%s stands for %s', (word, expected) => {
  expect(closest(word, names)).toBe(expected);
});
