import { gradientName } from '../../compiler/training-names.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { Tensor } from '../../runtime/tensor.js';
import type { DeviceArenas } from './device-arenas.js';
import type { ModelState } from './model-state.js';

/** The norm of all gradients of a step where they are: after their sum over the micro-batches and over the ranks. */
export class GradientNorm {
  readonly #norm = new Float32Array(1);
  readonly #output: Tensor;
  readonly #session: Session;
  readonly #binding: Binding;

  constructor(runtime: Runtime, model: Uint8Array, state: ModelState, arenas: DeviceArenas) {
    this.#session = runtime.createSession(model);
    this.#output = runtime.tensor(this.#norm, []);
    const gradients = state.trained.map((each) => [gradientName(each.name), arenas.gradient(each)] as const);
    this.#binding = this.#session.bind(Object.fromEntries(gradients), { gradient_norm: this.#output });
  }

  async compute(): Promise<number> {
    await this.#binding.run();
    return this.#norm[0]!;
  }

  release(): void {
    this.#session.release();
    this.#output.release();
  }
}
