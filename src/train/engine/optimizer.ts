import { gradientName } from '../../compiler/training-names.js';
import {
  type AdamWOptions,
  type AdamWScalars,
  adamWScalarNames,
  adamWScalars,
} from '../../model/optim/adamw.js';
import { larsScalarNames, momentumName, updatedName } from '../../model/optim/lars.js';
import type { OptimizerStep } from '../../model/optim/optimizer.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { BoundTensor } from '../../runtime/tensor.js';
import type { DeviceArenas } from './device-arenas.js';
import type { ModelState } from './model-state.js';
import { StepScalars } from './step-scalars.js';

/** The optimizer's graph over the arenas, run by run; outputs are written over inputs. */
export class Optimizer {
  readonly #session: Session;
  readonly #scalars: StepScalars;
  readonly #bindings: readonly Binding[];

  constructor(runtime: Runtime, model: Uint8Array, state: ModelState, arenas: DeviceArenas) {
    this.#session = runtime.createSession(model);
    this.#scalars = new StepScalars(runtime);
    const { optimizer, kernelPrecision } = state.manifest;
    this.#bindings =
      optimizer.kind === 'lars'
        ? [bindLars(this.#session, state, arenas, this.#scalars)]
        : bindAdamW(this.#session, optimizer, kernelPrecision !== undefined, arenas, this.#scalars);
  }

  /** One step with the gradients at hand. */
  async update(step: OptimizerStep): Promise<void> {
    await this.#scalars.set(step);
    for (const binding of this.#bindings) await binding.run();
  }

  release(): void {
    this.#session.release();
    this.#scalars.release();
  }
}

function bindAdamW(
  session: Session,
  options: AdamWOptions,
  hasKernel: boolean,
  arenas: DeviceArenas,
  scalars: StepScalars,
): Binding[] {
  /** Of parameters of a learning rate: what is the same for two of them is one tensor. */
  const scalar = (name: keyof AdamWScalars, lrScale: number, decays: boolean): BoundTensor => {
    const key = `${name} ${name === 'stepSize' || decays ? lrScale : ''}`;
    return scalars.tensor(key, ({ step, learningRate, weightDecay, gradientScale }) => {
      const lr = learningRate * lrScale;
      return adamWScalars(step, lr, decays ? weightDecay : 0, gradientScale, options)[name];
    });
  };
  return arenas.parts(hasKernel).map((part) => {
    const [param, grad] = [arenas.parameter(part), arenas.gradient(part)];
    const [m, v] = [arenas.average('exp_avg', part), arenas.average('exp_avg_sq', part)];
    const numbers = Object.entries(adamWScalarNames).map(([key, name]) => {
      const isDecay = key === 'decay';
      return [name, scalar(key as keyof AdamWScalars, part.lrScale, isDecay && part.decays)] as const;
    });
    return session.bind(
      { param, grad, exp_avg: m, exp_avg_sq: v, ...Object.fromEntries(numbers) },
      { param_out: param, exp_avg_out: m, exp_avg_sq_out: v },
    );
  });
}

/** All parameters in one run. */
function bindLars(session: Session, state: ModelState, arenas: DeviceArenas, scalars: StepScalars): Binding {
  const inputs: Record<string, BoundTensor> = {};
  const outputs: Record<string, BoundTensor> = {};
  for (const [key, name] of Object.entries(larsScalarNames)) {
    const number = key as keyof typeof larsScalarNames;
    inputs[name] = scalars.tensor(key, (step) => step[number]);
  }
  for (const parameter of state.trained) {
    const momentum = momentumName(parameter.name);
    inputs[gradientName(parameter.name)] = arenas.gradient(parameter);
    inputs[parameter.name] = outputs[updatedName(parameter.name)] = arenas.parameter(parameter);
    inputs[momentum] = outputs[updatedName(momentum)] = arenas.average('momentum_buffer', parameter);
  }
  return session.bind(inputs, outputs);
}
