import { evaluationGraph, outputsOf } from '../artifact/graphs.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { randomPermutation } from '../data/masking.js';
import { reconstructionPanels } from '../data/pictures/panels.js';
import type { ModelConfig } from '../model/config.js';
import { maeTask } from '../model/mae.js';
import type { MaeOptions } from '../model/mask.js';
import type { Task } from '../model/task.js';
import type { Runtime } from '../runtime/runtime.js';
import type { BoundTensor } from '../runtime/tensor.js';
import { Evaluator } from '../train/engine/evaluator.js';

export interface ReconstructedModel {
  readonly config: ModelConfig;
  readonly normPixLoss: boolean;
  /** By name, on the host or where a device has them. */
  readonly parameters: ReadonlyMap<string, Float32Array | BoundTensor>;
}

export interface Reconstructed {
  readonly loss: number;
  /** See `reconstructionPanels`. */
  readonly panels: readonly Uint8Array[];
}

/** A model with its mask ratio, ready to reconstruct up to `batchSize` images at a time. */
export class Reconstructor {
  readonly #task: Task & { readonly options: MaeOptions };
  readonly #parameters: ReconstructedModel['parameters'];
  readonly #evaluator: Evaluator;

  constructor(runtime: Runtime, model: ReconstructedModel, maskRatio: number, batchSize = 1) {
    const { config, normPixLoss, parameters } = model;
    this.#task = maeTask(config, { maskRatio, normPixLoss });
    this.#parameters = parameters;
    const graph = lowerGraph(evaluationGraph(this.#task, batchSize), { lacks: runtime.device.lacks });
    const description = {
      inputs: this.#task.inputs(batchSize),
      outputs: outputsOf(graph),
      parameters: this.#task.parameters,
    };
    this.#evaluator = new Evaluator(
      runtime,
      encodeModel(graph),
      description,
      (name) => parameters.get(name)!,
    );
  }

  /** Of images, uint8 [H, W, 3]: `seed` and each one's `index` decide its mask. */
  async reconstruct(
    images: readonly { readonly image: Uint8Array; readonly index: number }[],
    seed: number,
  ): Promise<Reconstructed[]> {
    const { model, options } = this.#task;
    const inputs = this.#evaluator.inputs as { images: Uint8Array; ids_shuffle: BigInt64Array };
    const rowOf = <T extends Float32Array | BigInt64Array>(of: T, row: number, length: number) =>
      of.subarray(row * length, (row + 1) * length) as T;
    const idsOf = (row: number) => rowOf(inputs.ids_shuffle, row, options.patches);
    for (const [row, { image, index }] of images.entries()) {
      inputs.images.set(image, row * image.length);
      randomPermutation(idsOf(row), seed, 0, index);
    }
    await this.#evaluator.run();
    const { image_loss: losses, pred } = this.#evaluator.outputs as Record<
      'image_loss' | 'pred',
      Float32Array
    >;
    return images.map(({ image }, row) => {
      const own = { image, idsShuffle: idsOf(row), pred: rowOf(pred, row, image.length) };
      return { loss: losses[row]!, panels: reconstructionPanels({ ...own, ...options }, model) };
    });
  }

  /** Takes the numbers of another checkpoint of the model into the arrays that it was made with, which are on the host. */
  take(parameters: ReadonlyMap<string, Float32Array>): void {
    for (const [name, array] of this.#parameters) (array as Float32Array).set(parameters.get(name)!);
    this.#evaluator.sendParameters();
  }

  release(): void {
    this.#evaluator.release();
  }
}
