import { expect, test } from 'vitest';
import { learningRate } from '../../src/model/optim/schedule.js';
import { defaultWarmupEpochs } from '../../src/train/options.js';
import { endedEpochs, planRun } from '../../src/train/plan.js';
import { UserError } from '../../src/util/errors.js';
import { optionsOf } from './support.js';

test('an epoch is the whole steps that its images fill', () => {
  const options = optionsOf({ batchSize: 8, accumIter: 3, epochs: 5, warmupEpochs: 2 });
  const plan = planRun(options, 100);
  expect(plan).toMatchObject({ stepsPerEpoch: 4, totalSteps: 20, effectiveBatchSize: 24 });
  expect(plan.schedule).toMatchObject({ epochs: 5, warmupEpochs: 2, stepsPerEpoch: 4, minLr: 0 });
  expect(planRun(options, 96).stepsPerEpoch).toBe(4);
  expect(planRun(options, 95).stepsPerEpoch).toBe(3);
});

test('the learning rate is blr × effective batch size / 256, or --lr', () => {
  const options = optionsOf({ batchSize: 64, accumIter: 8, blr: 1.5e-4 });
  expect(planRun(options, 1000).schedule.lr).toBeCloseTo(3e-4, 12);
  expect(planRun({ ...options, lr: 0.01 }, 1000).schedule.lr).toBe(0.01);
});

test('--max-steps ends the run but leaves the schedule', () => {
  const options = optionsOf({ batchSize: 10, epochs: 100, maxSteps: 7 });
  const plan = planRun(options, 100);
  expect(plan.totalSteps).toBe(7);
  expect(plan.schedule.epochs).toBe(100);
  expect(planRun({ ...options, maxSteps: 5000 }, 100).totalSteps).toBe(1000);
});

test('epochs may have a fraction: the last one is a part, and the end of the schedule', () => {
  const plan = planRun(optionsOf({ batchSize: 10, epochs: 2.5, warmupEpochs: 0 }), 100);
  expect(plan).toMatchObject({ scheduledSteps: 25, totalSteps: 25 });
  expect(learningRate(25, plan.schedule)).toBe(0);
  expect(planRun(optionsOf({ batchSize: 10, epochs: 0.01, warmupEpochs: 0 }), 100).totalSteps).toBe(1);
  const at = (step: number, epoch: number, stepInEpoch: number) =>
    endedEpochs({ step, epoch, stepInEpoch }, plan);
  expect([at(0, 0, 0), at(10, 1, 0), at(15, 1, 5), at(25, 2, 5)]).toEqual([0, 1, undefined, 3]);
});

test('a step of more images than there are is refused with both numbers', () => {
  const plan = (batchSize: number, accumIter: number) => () =>
    planRun(optionsOf({ batchSize, accumIter }), 10);
  expect(plan(11, 1)).toThrow(UserError);
  expect(plan(11, 1)).toThrow(/--batch-size: expected at most 10 images in a step.*got 11/);
  expect(plan(5, 3)).toThrow(/got 15 \(5 × --accum-iter 3\)/);
  expect(plan(5, 2)).not.toThrow();
});

test('a warm-up longer than the run is refused', () => {
  const plan = () => planRun(optionsOf({ batchSize: 4, epochs: 3, warmupEpochs: 4 }), 10);
  expect(plan).toThrow(UserError);
  expect(plan).toThrow('--warmup-epochs: expected at most --epochs 3, got 4');
});

test('the warm-up that is not given is the recipe’s, and its share of a shorter run', () => {
  // where 40 epochs were legal they stay, for runs that were started so
  expect([1600, 800, 400, 41, 40].map(defaultWarmupEpochs)).toEqual([40, 40, 40, 40, 40]);
  expect([39, 20, 10, 1].map(defaultWarmupEpochs)).toEqual([1.95, 1, 0.5, 0.05]);
});
