import type { Manifest } from '../artifact/manifest.js';
import { imageSize } from '../model/config.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Binding, Session } from '../runtime/session.js';
import type { HostArray, Tensor } from '../runtime/tensor.js';
import { type Shape, sizeOf } from '../util/shape.js';

/** Parameters by name, in memory that lives as long as the evaluator. */
export type ParameterData = (name: string) => Float32Array;

/** What a manifest says of the evaluation graph. */
export type EvaluatedModel = Pick<Manifest, 'model' | 'batchSize' | 'patches'> & {
  readonly parameters: readonly { readonly name: string; readonly shape: Shape }[];
};

/** The evaluation graph bound to a model's parameters: losses and predictions of a batch, nothing changes. */
export class Evaluator {
  /** uint8 [B, H, W, 3] and int64 [B, L]: fill them, then run. */
  readonly images: Uint8Array;
  readonly idsShuffle: BigInt64Array;
  /** float32 [B]: the loss of each image; float32 [B, L, P]: predictions in shuffled order. */
  readonly imageLoss: Float32Array;
  readonly pred: Float32Array;
  readonly #session: Session;
  readonly #tensors: Tensor[] = [];
  readonly #binding: Binding;

  constructor(runtime: Runtime, model: Uint8Array, manifest: EvaluatedModel, parameterData: ParameterData) {
    const { model: config, batchSize, patches, parameters } = manifest;
    const { height, width } = imageSize(config);
    this.#session = runtime.createSession(model);
    const tensor = <T extends HostArray>(data: T, shape: Shape): Tensor => {
      const created = runtime.tensor(data, shape);
      this.#tensors.push(created);
      return created;
    };
    const imageShape = [batchSize, height, width, 3];
    const predShape = [batchSize, patches, 3 * config.patchSize ** 2];
    this.images = new Uint8Array(sizeOf(imageShape));
    this.idsShuffle = new BigInt64Array(batchSize * patches);
    this.imageLoss = new Float32Array(batchSize);
    this.pred = new Float32Array(sizeOf(predShape));
    const inputs: Record<string, Tensor> = {
      images: tensor(this.images, imageShape),
      ids_shuffle: tensor(this.idsShuffle, [batchSize, patches]),
    };
    for (const { name, shape } of parameters) inputs[name] = tensor(parameterData(name), shape);
    this.#binding = this.#session.bind(inputs, {
      loss: tensor(new Float32Array(1), []),
      image_loss: tensor(this.imageLoss, [batchSize]),
      pred: tensor(this.pred, predShape),
    });
  }

  run(): Promise<void> {
    return this.#binding.run();
  }

  release(): void {
    this.#session.release();
    for (const tensor of this.#tensors) tensor.release();
  }
}
