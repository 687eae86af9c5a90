import { describe, expect, test } from 'vitest';
import { learningRate, type Schedule, scaleLearningRate } from '../../../src/model/optim/schedule.js';
import '../../support/allclose.js';
import { readGoldenJson } from '../../support/goldens.js';

const { cases } = readGoldenJson<{ cases: (Schedule & { perStep: number[] })[] }>('schedule');

describe('learningRate', () => {
  test.each(cases.map(({ perStep, ...schedule }) => [JSON.stringify(schedule), schedule, perStep] as const))(
    '%s',
    (_, schedule, perStep) => {
      expect(perStep).toHaveLength(schedule.epochs * schedule.stepsPerEpoch);
      const rates = perStep.map((_, step) => learningRate(step, schedule));
      expect(rates).toBeAllclose(perStep, { rtol: 1e-12, atol: 1e-18 });
    },
  );

  test('stays at its least after the last epoch', () => {
    const schedule = { lr: 1, minLr: 0.1, warmupEpochs: 1, epochs: 4, stepsPerEpoch: 5 };
    expect(learningRate(20, schedule)).toBeCloseTo(0.1, 12);
    expect(learningRate(500, schedule)).toBeCloseTo(0.1, 12);
  });
});

test('the rate grows with the batch: blr is for 256 images', () => {
  expect(scaleLearningRate(1.5e-4, 256)).toBeCloseTo(1.5e-4, 15);
  expect(scaleLearningRate(1.5e-4, 4096)).toBeCloseTo(2.4e-3, 15);
});
