import { evaluationInputsOf, type Manifest } from '../../artifact/manifest.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { BoundTensor } from '../../runtime/tensor.js';
import { type Shape, sizeOf } from '../../util/shape.js';
import { BatchTensors, type HostBatch } from './batch-tensors.js';

/** Parameters by name, in memory that lives as long as the evaluator: the host's arrays, or tensors of the caller's. */
export type ParameterData = (name: string) => Float32Array | BoundTensor;

/** What a manifest says of the evaluation graph. */
export type EvaluatedModel = Pick<Manifest, 'inputs' | 'evaluationInputs' | 'outputs'> & {
  readonly parameters: readonly { readonly name: string; readonly shape: Shape }[];
};

/** The evaluation graph bound to a model's parameters: what it gives for a batch, nothing changes. */
export class Evaluator {
  /** The arrays that the graph reads: fill them, or let `run` do it. */
  readonly inputs: HostBatch;
  /** By name, float32: `image_loss` [B] is the loss of each image, the others are the task's. */
  readonly outputs: Readonly<Record<string, Float32Array>>;
  readonly #session: Session;
  readonly #batch: BatchTensors;
  readonly #parameterNames: readonly string[];
  readonly #tensors: BoundTensor[] = [];
  readonly #binding: Binding;

  constructor(runtime: Runtime, model: Uint8Array, manifest: EvaluatedModel, parameterData: ParameterData) {
    this.#session = runtime.createSession(model);
    this.#batch = new BatchTensors(runtime, evaluationInputsOf(manifest));
    this.inputs = this.#batch.arrays;
    this.outputs = Object.fromEntries(
      manifest.outputs.map(({ name, shape }) => [name, new Float32Array(sizeOf(shape))]),
    );
    const tensor = (data: Float32Array, shape: Shape): BoundTensor => {
      const created = runtime.tensor(data, shape);
      this.#tensors.push(created);
      return created;
    };
    const parameters = manifest.parameters.map(({ name, shape }) => {
      const data = parameterData(name);
      return [name, data instanceof Float32Array ? tensor(data, shape) : data] as const;
    });
    this.#parameterNames = parameters.map(([name]) => name);
    const outputs = manifest.outputs.map(
      ({ name, shape }) => [name, tensor(this.outputs[name]!, shape)] as const,
    );
    this.#binding = this.#session.bind(
      { ...this.#batch.tensors, ...Object.fromEntries(parameters) },
      Object.fromEntries(outputs),
    );
  }

  /** @param batch copied into `inputs` where given */
  run(batch?: HostBatch): Promise<void> {
    if (batch !== undefined) this.#batch.set(batch);
    this.#binding.send(...this.#batch.names);
    return this.#binding.run();
  }

  /** Tells of parameters whose host arrays have changed. */
  sendParameters(): void {
    this.#binding.send(...this.#parameterNames);
  }

  release(): void {
    this.#session.release();
    this.#batch.release();
    for (const tensor of this.#tensors) tensor.release();
  }
}
