/** The optimizer graph against ten steps of torch.optim.AdamW in float64: `test/goldens/adamw`. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { encodeModel } from '../../../src/compiler/onnx/encode.js';
import { type AdamWScalars, adamWScalarNames, adamWScalars } from '../../../src/model/optim/adamw.js';
import { adamWGraph } from '../../../src/model/optim/adamw-graph.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { alignedFloat32Array } from '../../../src/runtime/tensor.js';
import '../../support/allclose.js';
import { float32, readGoldenJson, readGoldenTensors } from '../../support/goldens.js';

const settings = readGoldenJson<{
  betas: [number, number];
  eps: number;
  weightDecay: number;
  maxNorm: number;
  steps: number;
  lr: number[];
}>('adamw');
const golden = readGoldenTensors('adamw');
const options = { beta1: settings.betas[0], beta2: settings.betas[1], epsilon: settings.eps };

/** The numbers of step `step` (from 0) in a golden of all steps. */
function atStep(name: string, step: number): Float32Array {
  const numbers = float32(golden(name));
  const size = numbers.length / settings.steps;
  return numbers.subarray(step * size, (step + 1) * size);
}

/** torch's clip_grad_norm_: the factor for the gradients of both groups together. */
function clippingFactor(step: number): number {
  let sum = 0;
  for (const group of ['decayed', 'not_decayed']) {
    for (const number of atStep(`${group}_grads`, step)) sum += number ** 2;
  }
  return Math.min(1, settings.maxNorm / (Math.sqrt(sum) + 1e-6));
}

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

/** A bound optimizer over one group; outputs share the memory of inputs where `inPlace`. */
function optimizerOf(size: number, inPlace: boolean) {
  const session = runtime.createSession(encodeModel(expandDefinitions(adamWGraph(size, options))));
  const vector = () => alignedFloat32Array(size);
  const state = { param: vector(), grad: vector(), exp_avg: vector(), exp_avg_sq: vector() };
  const updated = inPlace
    ? state
    : { param: vector(), grad: vector(), exp_avg: vector(), exp_avg_sq: vector() };
  const scalars = Object.values(adamWScalarNames).map((name) => [name, new Float32Array(1)] as const);
  const tensors = (part: Record<string, Float32Array>, suffix = '') =>
    Object.entries(part).map(([name, data]) => [name + suffix, runtime.tensor(data, [size])] as const);
  const { grad: _, ...outputs } = updated;
  const binding = session.bind(
    {
      ...Object.fromEntries(tensors(state)),
      ...Object.fromEntries(scalars.map(([name, data]) => [name, runtime.tensor(data, [])])),
    },
    Object.fromEntries(tensors(outputs, '_out')),
  );
  return {
    state,
    async step(values: AdamWScalars): Promise<void> {
      for (const [key, name] of Object.entries(adamWScalarNames)) {
        scalars.find((scalar) => scalar[0] === name)![1][0] = values[key as keyof AdamWScalars];
      }
      await binding.run();
      if (inPlace) return;
      for (const name of ['param', 'exp_avg', 'exp_avg_sq'] as const) state[name].set(updated[name]);
    },
    release: () => session.release(),
  };
}

describe.each([
  ['plain', true],
  ['plain', false],
  ['clipped', true],
] as const)('%s, in place: %s', (variant, inPlace) => {
  test.each([
    ['decayed', settings.weightDecay],
    ['not_decayed', 0],
  ] as const)('%s parameters and moments after each step', async (group, weightDecay) => {
    const initial = float32(golden(`${group}_initial`));
    const optimizer = optimizerOf(initial.length, inPlace);
    try {
      optimizer.state.param.set(initial);
      for (let step = 0; step < settings.steps; step++) {
        optimizer.state.grad.set(atStep(`${group}_grads`, step));
        const factor = variant === 'clipped' ? clippingFactor(step) : 1;
        await optimizer.step(adamWScalars(step + 1, settings.lr[step]!, weightDecay, factor, options));
        const reference = `${variant}.f64.${group}`;
        const tolerance = { rtol: 2e-6, atol: 2e-7 };
        expect(optimizer.state.param, `step ${step}`).toBeAllclose(atStep(reference, step), tolerance);
        expect(optimizer.state.exp_avg, `step ${step}`).toBeAllclose(
          atStep(`${reference}_exp_avg`, step),
          tolerance,
        );
        expect(optimizer.state.exp_avg_sq, `step ${step}`).toBeAllclose(
          atStep(`${reference}_exp_avg_sq`, step),
          tolerance,
        );
        // the gradient is an input only
        expect(optimizer.state.grad).toEqual(atStep(`${group}_grads`, step));
      }
    } finally {
      optimizer.release();
    }
  });
});

test('the goldens clip in some steps and not in others', () => {
  const factors = settings.lr.map((_, step) => clippingFactor(step));
  expect(factors.some((factor) => factor < 1)).toBe(true);
  expect(factors.some((factor) => factor === 1)).toBe(true);
});

test('the scalars of a step', () => {
  const scalars = adamWScalars(2, 0.1, 0.05, 0.5, { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 });
  expect([
    scalars.decay,
    scalars.stepSize,
    scalars.secondMomentScale,
    scalars.firstMomentShare,
    scalars.secondMomentShare,
  ]).toBeAllclose([0.995, 0.1 / 0.19, 1 / Math.sqrt(0.0975), 0.05, 0.0125], { rtol: 1e-12, atol: 0 });
});
