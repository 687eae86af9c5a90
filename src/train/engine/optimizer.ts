import { type AdamWScalars, adamWScalarNames, adamWScalars } from '../../model/optim/adamw.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { BoundTensor } from '../../runtime/tensor.js';
import type { DeviceArenas } from './device-arenas.js';
import type { ModelState } from './model-state.js';

const scalarKeys = Object.keys(adamWScalarNames) as (keyof AdamWScalars)[];

/** AdamW over the arenas, part by part; outputs are written over inputs. */
export class Optimizer {
  readonly #runtime: Runtime;
  readonly #options: ModelState['manifest']['optimizer'];
  readonly #session: Session;
  readonly #tensors: BoundTensor[] = [];
  readonly #decayScalars = new Float32Array(scalarKeys.length);
  readonly #plainScalars = new Float32Array(scalarKeys.length);
  readonly #parts: Binding[];
  readonly #sendScalars: (() => Promise<void>)[] = [];

  constructor(runtime: Runtime, model: Uint8Array, { manifest }: ModelState, arenas: DeviceArenas) {
    this.#runtime = runtime;
    this.#options = manifest.optimizer;
    this.#session = runtime.createSession(model);
    const [decay, plain] = [this.#scalars(this.#decayScalars), this.#scalars(this.#plainScalars)];
    const parts = arenas.optimizerParts(manifest.kernelPrecision !== undefined);
    this.#parts = parts.map(({ decays, param, grad, expAvg, expAvgSq }) =>
      this.#session.bind(
        { param, grad, exp_avg: expAvg, exp_avg_sq: expAvgSq, ...(decays ? decay : plain) },
        { param_out: param, exp_avg_out: expAvg, exp_avg_sq_out: expAvgSq },
      ),
    );
  }

  /**
   * One step with the gradients at hand.
   *
   * @param step counts from 1
   * @param gradientScale what the gradients are to be multiplied by
   */
  async update(
    step: number,
    learningRate: number,
    weightDecay: number,
    gradientScale: number,
  ): Promise<void> {
    const values = (decay: number): number[] => {
      const scalars = adamWScalars(step, learningRate, decay, gradientScale, this.#options);
      return scalarKeys.map((key) => scalars[key]);
    };
    this.#decayScalars.set(values(weightDecay));
    this.#plainScalars.set(values(0));
    for (const send of this.#sendScalars) await send();
    for (const part of this.#parts) await part.run();
  }

  release(): void {
    this.#session.release();
    for (const tensor of this.#tensors) tensor.release();
  }

  #scalars(values: Float32Array): Record<string, BoundTensor> {
    return Object.fromEntries(scalarKeys.map((key, i) => [adamWScalarNames[key], this.#scalar(values, i)]));
  }

  /** One of the numbers. All parts read the same tensor, so it crosses to the device once a step. */
  #scalar(values: Float32Array, index: number): BoundTensor {
    const host = this.#runtime.tensor(values.subarray(index, index + 1), []);
    this.#tensors.push(host);
    const { heap } = this.#runtime;
    if (heap === undefined) return host;
    const there = heap.allocate([]);
    this.#tensors.push(there);
    this.#sendScalars.push(heap.upload(host, there));
    return there;
  }
}
