import { expect, test } from 'vitest';
import { duration } from '../../src/cli/flags.js';
import { epochsWithin, formatTime, runSeconds } from '../../src/jobs/time-budget.js';

const none = { setup: 0, microBatch: 0, update: 0, save: 0, validation: 0, probe: 0, probeEvery: 1 };
const schedule = { stepsPerEpoch: 10, accumIter: 2, saveEvery: 2 };

test('a run takes what its parts do, as often as they come', () => {
  // 25 steps are 2.5 epochs: validated after 1, 2 and the end, saved after 2 and the end, probed after the end
  expect(runSeconds(25, { ...none, setup: 7 }, schedule)).toBe(7);
  expect(runSeconds(25, { ...none, microBatch: 1 }, schedule)).toBe(50);
  expect(runSeconds(25, { ...none, update: 1 }, schedule)).toBe(25);
  expect(runSeconds(25, { ...none, validation: 1 }, schedule)).toBe(3);
  expect(runSeconds(25, { ...none, save: 1 }, schedule)).toBe(2);
  expect(runSeconds(25, { ...none, save: 1 }, { ...schedule, saveEverySteps: 6 })).toBe(6);
  expect(runSeconds(25, { ...none, probe: 1, probeEvery: 5 }, schedule)).toBe(1);
});

test('as many epochs as fit, whole ones where there are many', () => {
  const parts = { ...none, setup: 1, microBatch: 0.25, update: 0.5, save: 0.1, validation: 0.2 };
  expect(epochsWithin(2.3001, parts, schedule)).toBe(0.1); // a step, a save, a validation
  expect(epochsWithin(2.29, parts, schedule)).toBeUndefined();
  for (const seconds of [5, 17.3, 100, 250, 3600]) {
    const epochs = epochsWithin(seconds, parts, schedule)!;
    const steps = Math.round(10 * epochs);
    expect(epochs >= 20 ? steps % 10 : 0).toBe(0);
    const took = runSeconds(steps, parts, schedule);
    expect(took).toBeLessThanOrEqual(seconds);
    const more = epochs >= 20 ? 10 : 1;
    expect(runSeconds(steps + more, parts, schedule)).toBeGreaterThan(seconds);
    if (epochs > 20) expect(took).toBeGreaterThan(0.95 * seconds);
  }
});

test.each<[string, number]>([
  ['90s', 90],
  ['30m', 1800],
  ['1h30m', 5400],
  ['2h', 7200],
  ['1d', 86400],
  ['1.5h', 5400],
  ['0.5s', 0.5],
])('%s is a time', (text, seconds) => {
  expect(duration('time-budget')(text)).toBe(seconds);
  expect(duration('time-budget')(formatTime(seconds))).toBe(seconds);
});

test.each(['', '30', '-5m', '0s', '30m1h', '5 m', 'm', '1e9h', 'Infinity', '5x', '5m5m'])(
  '%j is none',
  (text) => {
    expect(() => duration('time-budget')(text)).toThrow(
      `--time-budget: expected a time such as 90s, 30m, 1h30m or 1d, got ${JSON.stringify(text)}`,
    );
  },
);
