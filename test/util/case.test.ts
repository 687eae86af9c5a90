import { expect, test } from 'vitest';
import { camelCase, kebabCase, snakeCase } from '../../src/util/case.js';

test.each([
  ['batchSize', 'batch-size', 'batch_size'],
  ['saveEverySteps', 'save-every-steps', 'save_every_steps'],
  ['lr', 'lr', 'lr'],
])('%s is the flag %s and the field %s', (camel, kebab, snake) => {
  expect(kebabCase(camel)).toBe(kebab);
  expect(snakeCase(camel)).toBe(snake);
  expect(camelCase(kebab)).toBe(camel);
});
