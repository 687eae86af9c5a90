import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  firstMicroBatchName,
  type ManifestParameter,
  optimizerModelFile,
  trainingModelFile,
} from '../../artifact/manifest.js';
import { imageSize } from '../../model/config.js';
import { type AdamWScalars, adamWScalarNames, adamWScalars } from '../../model/optim/adamw.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { BoundTensor, HostArray, Tensor } from '../../runtime/tensor.js';
import type { Shape } from '../../util/shape.js';
import { DeviceState } from './device-arenas.js';
import type { ModelState } from './model-state.js';

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

/** Where a micro-batch is put for the training graph. */
interface Slot {
  readonly images: Uint8Array;
  readonly idsShuffle: BigInt64Array;
  readonly binding: Binding;
  /** What was sent to it for the next run. */
  staged: MicroBatch | undefined;
}

/** The training and optimizer graphs bound to a model's state. Inputs and outputs are bound once. */
export class Trainer {
  readonly #state: ModelState;
  readonly #runtime: Runtime;
  readonly #sessions: Session[] = [];
  readonly #tensors: BoundTensor[] = [];
  readonly #numbers: DeviceState;
  /**
   * What the loss is multiplied by before gradients are taken, which float16 needs (`loss-scale.ts`). A power of two:
   * norms are told and steps are taken without it, and nothing is rounded.
   */
  lossScale = 1;
  readonly #lossScale = new Float32Array(1);
  readonly #firstMicroBatch = new Float32Array(1);
  readonly #loss = new Float32Array(1);
  readonly #gradientNorm = new Float32Array(1);
  readonly #decayScalars = new Float32Array(scalarKeys.length);
  readonly #plainScalars = new Float32Array(scalarKeys.length);
  /** One, or two in turns where the next micro-batch is sent while one is computed; the first is that of the next run. */
  readonly #slots: Slot[];
  /** Scalars among the inputs of the training graph. */
  readonly #scalars: readonly string[];
  readonly #optimizer: Binding[];
  readonly #sendScalars: (() => Promise<void>)[] = [];

  constructor(runtime: Runtime, artifacts: string, state: ModelState) {
    this.#runtime = runtime;
    this.#state = state;
    this.#numbers = new DeviceState(runtime, state);
    const training = this.#createSession(join(artifacts, trainingModelFile));
    this.#scalars = ['loss_scale', firstMicroBatchName].filter((name) => training.inputNames.includes(name));
    this.#slots = Array.from({ length: this.canStage ? 2 : 1 }, () => this.#createSlot(training));
    this.#optimizer = this.#bindOptimizer(this.#createSession(join(artifacts, optimizerModelFile)));
  }

  /** Whether `stage` may be called while a micro-batch is computed. */
  get canStage(): boolean {
    return this.#runtime.device.uploadsDuringRun;
  }

  /** Sends the micro-batch of the next `forwardBackward` to the device beforehand. */
  stage(batch: MicroBatch): void {
    const slot = this.#slots[0]!;
    send(slot, batch);
    slot.staged = batch;
  }

  /**
   * Gradients of one micro-batch of `count` in a step; with more than one they add up to their mean.
   * Returns the loss of the micro-batch.
   */
  async forwardBackward(batch: MicroBatch, index: number, count: number): Promise<number> {
    const slot = this.#slots[0]!;
    if (slot.staged !== batch) send(slot, batch);
    slot.staged = undefined;
    this.#slots.push(this.#slots.shift()!);
    this.#lossScale[0] = this.lossScale / count;
    this.#firstMicroBatch[0] = Number(index === 0);
    if (index === 0 && this.#state.manifest.accumulate) this.#numbers.clearGradients();
    slot.binding.send(...this.#scalars);
    await slot.binding.run();
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
    for (const send of this.#sendScalars) await send();
    for (const chunk of this.#optimizer) await chunk.run();
  }

  /** A parameter where the device has it, for other sessions. */
  parameter(parameter: ManifestParameter): BoundTensor {
    return this.#numbers.parameter(parameter);
  }

  /** Brings parameters and moments back into the model's state, to be saved. */
  download(): void {
    this.#numbers.download();
  }

  release(): void {
    for (const session of this.#sessions) session.release();
    for (const tensor of this.#tensors) tensor.release();
    this.#numbers.release();
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

  #createSlot(session: Session): Slot {
    const { batchSize, patches, model } = this.#state.manifest;
    const { height, width } = imageSize(model);
    const images = new Uint8Array(batchSize * height * width * 3);
    const idsShuffle = new BigInt64Array(batchSize * patches);
    const binding = this.#bindTraining(session, {
      images: this.#tensor(images, [batchSize, height, width, 3]),
      ids_shuffle: this.#tensor(idsShuffle, [batchSize, patches]),
    });
    return { images, idsShuffle, binding, staged: undefined };
  }

  #bindTraining(session: Session, data: Readonly<Record<string, BoundTensor>>): Binding {
    const { manifest } = this.#state;
    const inputs: Record<string, BoundTensor> = {
      ...data,
      loss_scale: this.#tensor(this.#lossScale, []),
    };
    if (this.#scalars.includes(firstMicroBatchName))
      inputs[firstMicroBatchName] = this.#tensor(this.#firstMicroBatch, []);
    const outputs: Record<string, BoundTensor> = {
      loss: this.#tensor(this.#loss, []),
      gradient_norm: this.#tensor(this.#gradientNorm, []),
    };
    for (const parameter of manifest.parameters) {
      inputs[parameter.name] = this.#numbers.parameter(parameter);
    }
    for (const parameter of this.#state.trained) {
      const gradient = this.#numbers.gradient(parameter);
      outputs[`${parameter.name}_grad`] = gradient;
      // the sum is written over the running gradient: the operator that writes it is the last to read it
      if (manifest.accumulate) inputs[`${parameter.name}_grad.accumulation.buffer`] = gradient;
    }
    return session.bind(inputs, outputs);
  }

  /** One binding for each part of the arenas; outputs are written over inputs. */
  #bindOptimizer(session: Session): Binding[] {
    const scalars = (values: Float32Array) =>
      Object.fromEntries(scalarKeys.map((key, i) => [adamWScalarNames[key], this.#scalar(values, i)]));
    const [decay, plain] = [scalars(this.#decayScalars), scalars(this.#plainScalars)];
    const parts = this.#numbers.optimizerParts(this.#state.manifest.kernelPrecision !== undefined);
    return parts.map(({ decays, param, grad, expAvg, expAvgSq }) =>
      session.bind(
        { param, grad, exp_avg: expAvg, exp_avg_sq: expAvgSq, ...(decays ? decay : plain) },
        { param_out: param, exp_avg_out: expAvg, exp_avg_sq_out: expAvgSq },
      ),
    );
  }

  /** One of the optimizer's numbers. All parts read the same tensor, so it crosses to the device once a step. */
  #scalar(values: Float32Array, index: number): BoundTensor {
    const host = this.#tensor(values.subarray(index, index + 1), []);
    const { heap } = this.#runtime;
    if (heap === undefined) return host;
    const there = heap.allocate([]);
    this.#tensors.push(there);
    this.#sendScalars.push(heap.upload(host, there));
    return there;
  }
}

function send(slot: Slot, { images, idsShuffle }: MicroBatch): void {
  slot.images.set(images);
  slot.idsShuffle.set(idsShuffle);
  slot.binding.send('images', 'ids_shuffle');
}

const scalarKeys = Object.keys(adamWScalarNames) as (keyof AdamWScalars)[];

function scalarValues(scalars: AdamWScalars): number[] {
  return scalarKeys.map((key) => scalars[key]);
}
