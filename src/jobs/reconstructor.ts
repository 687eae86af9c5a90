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

/** A model with its mask ratio, ready to reconstruct one image at a time. */
export class Reconstructor {
  readonly #task: Task & { readonly options: MaeOptions };
  readonly #evaluator: Evaluator;

  constructor(runtime: Runtime, { config, normPixLoss, parameters }: ReconstructedModel, maskRatio: number) {
    this.#task = maeTask(config, { maskRatio, normPixLoss });
    const graph = lowerGraph(evaluationGraph(this.#task, 1), { lacks: runtime.device.lacks });
    const description = {
      inputs: this.#task.inputs(1),
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

  /** The loss of an image, uint8 [H, W, 3], and its panels; `seed` and `index` decide the mask. */
  async reconstruct(
    image: Uint8Array,
    seed: number,
    index: number,
  ): Promise<{ loss: number; panels: Uint8Array[] }> {
    const { model, options } = this.#task;
    const idsShuffle = new BigInt64Array(options.patches);
    randomPermutation(idsShuffle, seed, 0, index);
    await this.#evaluator.run({ images: image, ids_shuffle: idsShuffle });
    const { image_loss: loss, pred } = this.#evaluator.outputs as Record<'image_loss' | 'pred', Float32Array>;
    const panels = reconstructionPanels({ image, idsShuffle, pred, ...options }, model);
    return { loss: loss[0]!, panels };
  }

  release(): void {
    this.#evaluator.release();
  }
}
