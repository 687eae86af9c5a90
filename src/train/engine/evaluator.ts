import type { Manifest } from '../../artifact/manifest.js';
import { imageSize } from '../../model/config.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { BoundTensor, HostArray } from '../../runtime/tensor.js';
import { type Shape, sizeOf } from '../../util/shape.js';

/** Parameters by name, in memory that lives as long as the evaluator: the host's arrays, or tensors of the caller's. */
export type ParameterData = (name: string) => Float32Array | BoundTensor;

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
  readonly #tensors: BoundTensor[] = [];
  readonly #binding: Binding;

  constructor(runtime: Runtime, model: Uint8Array, manifest: EvaluatedModel, parameterData: ParameterData) {
    const { model: config, batchSize, patches, parameters } = manifest;
    const { height, width } = imageSize(config);
    this.#session = runtime.createSession(model);
    const tensor = <T extends HostArray>(data: T, shape: Shape): BoundTensor => {
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
    const inputs: Record<string, BoundTensor> = {
      images: tensor(this.images, imageShape),
      ids_shuffle: tensor(this.idsShuffle, [batchSize, patches]),
    };
    for (const { name, shape } of parameters) {
      const data = parameterData(name);
      inputs[name] = data instanceof Float32Array ? tensor(data, shape) : data;
    }
    this.#binding = this.#session.bind(inputs, {
      loss: tensor(new Float32Array(1), []),
      image_loss: tensor(this.imageLoss, [batchSize]),
      pred: tensor(this.pred, predShape),
    });
  }

  run(): Promise<void> {
    this.#binding.send('images', 'ids_shuffle');
    return this.#binding.run();
  }

  release(): void {
    this.#session.release();
    for (const tensor of this.#tensors) tensor.release();
  }
}
