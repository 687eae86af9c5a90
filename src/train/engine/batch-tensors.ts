import type { BatchInput } from '../../model/task.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { HostArray, Tensor } from '../../runtime/tensor.js';
import { sizeOf } from '../../util/shape.js';
import { bytesPerNumber, typedArray } from '../../util/typed-arrays.js';

/** One batch by the names of the task's inputs, each array of the input's shape. */
export type HostBatch = Readonly<Record<string, HostArray>>;

/** Zeros for each input. */
export function emptyBatch(inputs: readonly BatchInput[]): HostBatch {
  return Object.fromEntries(
    inputs.map(({ name, type, shape }) => [
      name,
      typedArray(type, new ArrayBuffer(sizeOf(shape) * bytesPerNumber[type])),
    ]),
  );
}

/** Arrays of the host for a batch, with the tensors over them that a graph's inputs are bound to. */
export class BatchTensors {
  readonly arrays: HostBatch;
  readonly tensors: Readonly<Record<string, Tensor>>;

  constructor(runtime: Runtime, inputs: readonly BatchInput[]) {
    this.arrays = emptyBatch(inputs);
    this.tensors = Object.fromEntries(
      inputs.map(({ name, shape }) => [name, runtime.tensor(this.arrays[name]!, shape)]),
    );
  }

  get names(): string[] {
    return Object.keys(this.arrays);
  }

  set(batch: HostBatch): void {
    for (const [name, array] of Object.entries(this.arrays))
      (array as Uint8Array).set(batch[name] as Uint8Array);
  }

  release(): void {
    for (const tensor of Object.values(this.tensors)) tensor.release();
  }
}
