import { expect, onTestFinished, test, vi } from 'vitest';
import { ConsoleReporter } from '../../../src/train/observers/console.js';
import { startOf, stepOf } from '../support.js';

/** A reporter that writes to no terminal, and what it wrote. */
function recordedReporter(): { reporter: ConsoleReporter; lines(): string[] } {
  let text = '';
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => {
    text += chunk;
    return true;
  });
  onTestFinished(() => spy.mockRestore());
  return { reporter: new ConsoleReporter(() => undefined), lines: () => text.split('\n').slice(0, -1) };
}

test('losses of guesses stand beside those of the first three epochs', () => {
  const { reporter, lines } = recordedReporter();
  reporter.started(startOf(0, 20));
  reporter.guessed({ mean: 0.9948, colour: 0.35272, isNew: true });
  for (let epoch = 0; epoch < 4; epoch++) reporter.epochEnded({ epoch, step: 5 * epoch, loss: 0.8 });
  const guesses = '(guesses: the mean 0.9948, one colour 0.3527)';
  expect(lines()).toEqual([
    'losses of guesses: 0.9948 the mean everywhere, 0.3527 one colour an image; a model that learns gets below both',
    `epoch 1  mean loss 0.8000  ${guesses}`,
    `epoch 2  mean loss 0.8000  ${guesses}`,
    `epoch 3  mean loss 0.8000  ${guesses}`,
    'epoch 4  mean loss 0.8000',
  ]);
});

test('of a run that goes on they are not told anew', () => {
  const { reporter, lines } = recordedReporter();
  reporter.started(startOf(5, 20));
  reporter.guessed({ mean: 1, colour: 0.5, isNew: false });
  reporter.epochEnded({ epoch: 1, step: 10, loss: 0.8 });
  expect(lines()).toEqual(['epoch 2  mean loss 0.8000  (guesses: the mean 1.0000, one colour 0.5000)']);
});

test('a line without a terminal tells speed, wait, operations and both times left', () => {
  const { reporter, lines } = recordedReporter();
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const facts = { stepsPerEpoch: 2, imageFlops: 1.5e9, peakFlops: undefined };
  reporter.know(facts);
  reporter.started(startOf(0, 6));
  vi.advanceTimersByTime(10_000);
  reporter.stepped(stepOf(1));
  reporter.know({ ...facts, peakFlops: 60e9 });
  reporter.stepped(stepOf(2, false));
  reporter.stepped({ ...stepOf(3), loss: 1 });
  expect(lines()).toEqual([
    'step 1/6  epoch 1/3  loss 1.0000  lr 1.00e-3  10.0 img/s  data wait 25%  15.0 GFLOP/s  left 50s (epoch 10s)',
    // (0.81 · 1 + 0.9 · ½ + 1) / 2.71
    expect.stringMatching(/^step 3\/6 .* loss 0\.8339 .* {2}15\.0 GFLOP\/s \(25% of peak\) {2}left /),
  ]);
});

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
