import type { OptimizerStep } from '../../model/optim/optimizer.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { BoundTensor } from '../../runtime/tensor.js';

interface StepScalar {
  readonly host: Float32Array;
  readonly numberAt: (step: OptimizerStep) => number;
  readonly tensor: BoundTensor;
  readonly send: () => Promise<void>;
}

/** Numbers that follow from the step. All who ask for one read the same tensor, so it crosses to the device once a step. */
export class StepScalars {
  readonly #runtime: Runtime;
  readonly #scalars = new Map<string, StepScalar>();
  readonly #tensors: BoundTensor[] = [];

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** The scalar of this key; `numberAt` is that of the first who asks. */
  tensor(key: string, numberAt: (step: OptimizerStep) => number): BoundTensor {
    const scalar = this.#scalars.get(key) ?? this.#create(numberAt);
    this.#scalars.set(key, scalar);
    return scalar.tensor;
  }

  async set(step: OptimizerStep): Promise<void> {
    for (const { host, numberAt, send } of this.#scalars.values()) {
      host[0] = numberAt(step);
      await send();
    }
  }

  release(): void {
    for (const tensor of this.#tensors) tensor.release();
  }

  #create(numberAt: (step: OptimizerStep) => number): StepScalar {
    const host = new Float32Array(1);
    const own = this.#runtime.tensor(host, []);
    this.#tensors.push(own);
    const { heap } = this.#runtime;
    if (heap === undefined) return { host, numberAt, tensor: own, send: async () => {} };
    const tensor = heap.allocate([]);
    this.#tensors.push(tensor);
    return { host, numberAt, tensor, send: heap.copier(own, tensor) };
  }
}
