import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { optimizerModelFile, trainingModelFile } from '../artifact/manifest.js';
import { imageSize } from '../model/config.js';
import { type AdamWScalars, adamWScalarNames, adamWScalars } from '../optim/adamw.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Binding, Session } from '../runtime/session.js';
import { alignedFloat32Array, type HostArray, type Tensor } from '../runtime/tensor.js';
import type { Shape } from '../util/shape.js';
import { type ModelState, sliceOf } from './model-state.js';

/** One micro-batch as the graph takes it. */
export interface MicroBatch {
  /** uint8 [B, H, W, 3] */
  readonly images: Uint8Array;
  /** int64 [B, L] */
  readonly idsShuffle: BigInt64Array;
}

export interface OptimizerSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Largest norm of the gradient, or undefined. */
  readonly clipGrad?: number | undefined;
}

/** The training and optimizer graphs bound to a model's state. Inputs and outputs are bound once. */
export class Trainer {
  readonly #state: ModelState;
  readonly #runtime: Runtime;
  readonly #sessions: Session[] = [];
  readonly #tensors: Tensor[] = [];
  readonly #images: Uint8Array;
  readonly #idsShuffle: BigInt64Array;
  /**
   * What the loss is multiplied by before gradients are taken, which float16 needs (`loss-scale.ts`). A power of two:
   * norms are told and steps are taken without it, and nothing is rounded.
   */
  lossScale = 1;
  readonly #lossScale = new Float32Array(1);
  readonly #loss = new Float32Array(1);
  readonly #gradientNorm = new Float32Array(1);
  readonly #gradients: Float32Array;
  readonly #decayScalars = new Float32Array(scalarKeys.length);
  readonly #plainScalars = new Float32Array(scalarKeys.length);
  readonly #training: Binding;
  readonly #optimizer: Binding[];

  constructor(runtime: Runtime, artifacts: string, state: ModelState) {
    const { manifest } = state;
    this.#runtime = runtime;
    this.#state = state;
    const { height, width } = imageSize(manifest.model);
    const { batchSize, patches } = manifest;
    this.#images = new Uint8Array(batchSize * height * width * 3);
    this.#idsShuffle = new BigInt64Array(batchSize * patches);
    this.#gradients = alignedFloat32Array(manifest.arena.trained);
    this.#training = this.#bindTraining(this.#createSession(join(artifacts, trainingModelFile)));
    this.#optimizer = this.#bindOptimizer(this.#createSession(join(artifacts, optimizerModelFile)));
  }

  /**
   * Gradients of one micro-batch of `count` in a step; with more than one they add up to their mean.
   * Returns the loss of the micro-batch.
   */
  async forwardBackward(batch: MicroBatch, index: number, count: number): Promise<number> {
    this.#images.set(batch.images);
    this.#idsShuffle.set(batch.idsShuffle);
    this.#lossScale[0] = this.lossScale / count;
    if (index === 0 && this.#state.manifest.accumulate) this.#gradients.fill(0);
    await this.#training.run();
    return this.#loss[0]!;
  }

  /** The norm of the gradients so far, of the loss that is not scaled. */
  get gradientNorm(): number {
    return this.#gradientNorm[0]! / this.lossScale;
  }

  /** AdamW with the gradients at hand; `step` counts from 1. */
  async update(step: number, { learningRate, weightDecay, clipGrad }: OptimizerSettings): Promise<void> {
    // torch.nn.utils.clip_grad_norm_: min(1, limit / (norm + 1e-6))
    const clip = clipGrad === undefined ? 1 : Math.min(1, clipGrad / (this.gradientNorm + 1e-6));
    const scale = clip / this.lossScale;
    const options = this.#state.manifest.optimizer;
    this.#decayScalars.set(scalarValues(adamWScalars(step, learningRate, weightDecay, scale, options)));
    this.#plainScalars.set(scalarValues(adamWScalars(step, learningRate, 0, scale, options)));
    for (const chunk of this.#optimizer) await chunk.run();
  }

  release(): void {
    for (const session of this.#sessions) session.release();
    for (const tensor of this.#tensors) tensor.release();
  }

  #createSession(path: string): Session {
    const session = this.#runtime.createSession(readFileSync(path));
    this.#sessions.push(session);
    return session;
  }

  #tensor(data: HostArray, shape: Shape): Tensor {
    const tensor = this.#runtime.tensor(data, shape);
    this.#tensors.push(tensor);
    return tensor;
  }

  #bindTraining(session: Session): Binding {
    const { manifest, parameters } = this.#state;
    const { height, width } = imageSize(manifest.model);
    const inputs: Record<string, Tensor> = {
      images: this.#tensor(this.#images, [manifest.batchSize, height, width, 3]),
      ids_shuffle: this.#tensor(this.#idsShuffle, [manifest.batchSize, manifest.patches]),
      loss_scale: this.#tensor(this.#lossScale, []),
    };
    const outputs: Record<string, Tensor> = {
      loss: this.#tensor(this.#loss, []),
      gradient_norm: this.#tensor(this.#gradientNorm, []),
    };
    for (const parameter of manifest.parameters) {
      inputs[parameter.name] = this.#tensor(sliceOf(parameters, parameter), parameter.shape);
    }
    for (const parameter of this.#state.trained) {
      const gradient = this.#tensor(sliceOf(this.#gradients, parameter), parameter.shape);
      outputs[`${parameter.name}_grad`] = gradient;
      // the sum is written over the running gradient: the operator that writes it is the last to read it
      if (manifest.accumulate) inputs[`${parameter.name}_grad.accumulation.buffer`] = gradient;
    }
    return session.bind(inputs, outputs);
  }

  /**
   * One binding for each chunk of the arenas; outputs are written over inputs. A kernel takes a whole group at once,
   * standard operators so much that what they pass on stays in the cache.
   */
  #bindOptimizer(session: Session): Binding[] {
    const { parameters, expAvg, expAvgSq, manifest } = this.#state;
    const { chunk, decayed, trained } = manifest.arena;
    const [decay, plain] = [this.#decayScalars, this.#plainScalars].map((values) =>
      Object.fromEntries(
        scalarKeys.map((key, i) => [adamWScalarNames[key], this.#tensor(values.subarray(i, i + 1), [])]),
      ),
    );
    const bindings: Binding[] = [];
    const isWhole = manifest.kernelPrecision !== undefined;
    for (let start = 0, end = 0; start < trained; start = end) {
      end = isWhole ? (start < decayed ? decayed : trained) : start + chunk;
      const part = (arena: Float32Array) => this.#tensor(arena.subarray(start, end), [end - start]);
      const [param, m, v] = [part(parameters), part(expAvg), part(expAvgSq)];
      const tensors = { param: param!, grad: part(this.#gradients), exp_avg: m!, exp_avg_sq: v! };
      bindings.push(
        session.bind(
          { ...tensors, ...(start < decayed ? decay : plain) },
          { param_out: param!, exp_avg_out: m!, exp_avg_sq_out: v! },
        ),
      );
    }
    return bindings;
  }
}

const scalarKeys = Object.keys(adamWScalarNames) as (keyof AdamWScalars)[];

function scalarValues(scalars: AdamWScalars): number[] {
  return scalarKeys.map((key) => scalars[key]);
}
