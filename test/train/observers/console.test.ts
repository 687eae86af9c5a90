import { expect, onTestFinished, test, vi } from 'vitest';
import { ConsoleReporter } from '../../../src/train/observers/console.js';

test('names twenty skipped images, and then where the others are', () => {
  let text = '';
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  onTestFinished(() => spy.mockRestore());
  const reporter = new ConsoleReporter(() => undefined);
  const skip = (i: number) => reporter.imageSkipped({ step: 1, path: `${i}.jpg`, reason: 'no picture' });
  for (let i = 1; i <= 20; i++) skip(i);
  expect(text.split('\n')).toEqual([
    ...Array.from({ length: 20 }, (_, i) => `skipped ${i + 1}.jpg: no picture`),
    '',
  ]);
  for (let i = 21; i <= 30; i++) skip(i);
  expect(text.split('\n').slice(20)).toEqual(['further skipped images are in log.jsonl only', '']);
});
