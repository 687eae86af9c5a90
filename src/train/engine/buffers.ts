import type { ManifestParameter } from '../../artifact/manifest.js';
import { nextName } from '../../compiler/training-names.js';
import type { Runtime } from '../../runtime/runtime.js';
import { type BoundTensor, Tensor } from '../../runtime/tensor.js';
import { sizeOf } from '../../util/shape.js';
import type { DeviceArenas } from './device-arenas.js';
import type { ModelState } from './model-state.js';

type Copy = () => Promise<void>;

/**
 * Parameters that a batch changes without a gradient, as batch norm's running statistics. The micro-batches of a step
 * change copies of them, in order; only a step that is taken makes parameters of these, so that a bad one leaves nothing.
 */
export class Buffers {
  /** What the training graph reads of them, and what it writes, by the names of its inputs and outputs. */
  readonly inputs: Record<string, BoundTensor> = {};
  readonly outputs: Record<string, BoundTensor> = {};
  readonly #runtime: Runtime;
  readonly #tensors: BoundTensor[] = [];
  readonly #start: Copy[] = [];
  readonly #advance: Copy[] = [];
  readonly #keep: Copy[] = [];

  constructor(runtime: Runtime, { manifest }: ModelState, arenas: DeviceArenas) {
    this.#runtime = runtime;
    const { parameters, buffers = [] } = manifest;
    for (const parameter of parameters.filter(({ name }) => buffers.includes(name))) {
      const kept = arenas.parameter(parameter);
      const [current, next] = [this.#tensor(parameter), this.#tensor(parameter)];
      this.inputs[parameter.name] = current;
      this.outputs[nextName(parameter.name)] = next;
      this.#start.push(this.#copy(kept, current));
      this.#advance.push(this.#copy(next, current));
      this.#keep.push(this.#copy(current, kept));
    }
  }

  /** Before the first micro-batch of a step: what the last step that was taken left. */
  start(): Promise<void> {
    return runAll(this.#start);
  }

  /** After each micro-batch. */
  advance(): Promise<void> {
    return runAll(this.#advance);
  }

  /** When the step is taken. */
  keep(): Promise<void> {
    return runAll(this.#keep);
  }

  release(): void {
    for (const tensor of this.#tensors) tensor.release();
  }

  #tensor({ shape }: ManifestParameter): BoundTensor {
    const { heap } = this.#runtime;
    const tensor = heap?.allocate(shape) ?? this.#runtime.tensor(new Float32Array(sizeOf(shape)), shape);
    this.#tensors.push(tensor);
    return tensor;
  }

  #copy(source: BoundTensor, target: BoundTensor): Copy {
    if (source instanceof Tensor && target instanceof Tensor)
      return async () => (target.data as Float32Array).set(source.data as Float32Array);
    return this.#runtime.heap!.copier(source, target);
  }
}

async function runAll(copies: readonly Copy[]): Promise<void> {
  for (const copy of copies) await copy();
}
