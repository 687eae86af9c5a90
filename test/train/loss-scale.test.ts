import { expect, test } from 'vitest';
import {
  afterGoodStep,
  afterOverflow,
  firstLossScale,
  growthInterval,
  isLossScale,
  judgeStep,
  type LossScale,
  maxScale,
  minScale,
} from '../../src/train/loss-scale.js';

const good = (state: LossScale, steps: number) => {
  for (let i = 0; i < steps; i++) state = afterGoodStep(state);
  return state;
};

test('starts at 2¹⁶, halves at an overflow, doubles after 2,000 good steps', () => {
  expect(firstLossScale).toEqual({ scale: 65536, goodSteps: 0 });
  expect(growthInterval).toBe(2000);
  expect(good(firstLossScale, 1999)).toEqual({ scale: 65536, goodSteps: 1999 });
  expect(good(firstLossScale, 2000)).toEqual({ scale: 131072, goodSteps: 0 });
  expect(afterOverflow(good(firstLossScale, 1999))).toEqual({ scale: 32768, goodSteps: 0 });
  expect(good(afterOverflow(firstLossScale), 2000)).toEqual({ scale: 65536, goodSteps: 0 });
});

test('stays between 1 and 2²⁴', () => {
  let state = firstLossScale;
  for (let i = 0; i < 20; i++) state = afterOverflow(state);
  expect(state).toEqual({ scale: minScale, goodSteps: 0 });
  expect(good({ scale: maxScale, goodSteps: 1999 }, 1)).toEqual({ scale: maxScale, goodSteps: 0 });
});

// The states of torch.amp.GradScaler(init_scale=8, growth_factor=2, backoff_factor=.5, growth_interval=2000), by its
// update rule: found_inf → scale·backoff, tracker 0; else tracker + 1, at the interval scale·growth and tracker 0.
test('follows GradScaler over a mixed history', () => {
  let ours: LossScale = { scale: 8, goodSteps: 0 };
  let [scale, tracker] = [8, 0];
  for (let step = 1; step <= 9000; step++) {
    const foundInf = step % 2500 === 0;
    ours = foundInf ? afterOverflow(ours) : afterGoodStep(ours);
    if (foundInf) [scale, tracker] = [scale * 0.5, 0];
    else if (++tracker === 2000) [scale, tracker] = [scale * 2, 0];
    if (ours.scale !== scale || ours.goodSteps !== tracker)
      expect(ours, `${step}`).toEqual({ scale, goodSteps: tracker });
  }
  expect(ours.scale).toBe(8);
});

test.each<[number, number, LossScale | undefined, string]>([
  [1, 1, undefined, 'good'],
  [1, 1, firstLossScale, 'good'],
  [1, Infinity, firstLossScale, 'overflow'],
  [1, NaN, { scale: 2, goodSteps: 5 }, 'overflow'],
  [1, NaN, { scale: minScale, goodSteps: 5 }, 'bad'],
  [1, NaN, undefined, 'bad'],
  [NaN, 1, firstLossScale, 'bad'],
  [Infinity, NaN, firstLossScale, 'bad'],
  [NaN, NaN, undefined, 'bad'],
])('loss %s, gradient norm %s, %o: %s', (loss, norm, state, outcome) => {
  expect(judgeStep(loss, norm, state)).toBe(outcome);
});

test('a state of a file is checked', () => {
  for (const state of [firstLossScale, { scale: 1, goodSteps: 1999 }]) expect(isLossScale(state)).toBe(true);
  const wrong = [
    3,
    null,
    {},
    { scale: 3, goodSteps: 0 },
    { scale: 2 ** 25, goodSteps: 0 },
    { scale: 0.5, goodSteps: 0 },
  ];
  for (const state of [
    ...wrong,
    { scale: 2, goodSteps: -1 },
    { scale: 2, goodSteps: 2000 },
    { scale: '2', goodSteps: 0 },
  ]) {
    expect(isLossScale(state), JSON.stringify(state)).toBe(false);
  }
});
