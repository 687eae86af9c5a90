import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  emaModelFile,
  gradientNormModelFile,
  gradientsDoneName,
  type ManifestParameter,
  optimizerModelFile,
  trainingModelFile,
} from '../../artifact/manifest.js';
import {
  accumulationName,
  firstMicroBatchName,
  gradientName,
  lossScaleName,
} from '../../compiler/training-names.js';
import { isTrained } from '../../model/parameters.js';
import { alone, type Communicator } from '../../runtime/comm/communicator.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { BoundTensor } from '../../runtime/tensor.js';
import { BatchTensors, type HostBatch } from './batch-tensors.js';
import { Buffers } from './buffers.js';
import { DeviceArenas } from './device-arenas.js';
import { Ema } from './ema.js';
import { GradientNorm } from './gradient-norm.js';
import type { ModelState } from './model-state.js';
import { Optimizer } from './optimizer.js';

export interface OptimizerSettings {
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Largest norm of the gradient, or undefined. */
  readonly clipGrad?: number | undefined;
}

/** Where a micro-batch is put for the training graph. */
interface Slot {
  readonly batch: BatchTensors;
  readonly binding: Binding;
  /** What was sent to it for the next run. */
  staged: HostBatch | undefined;
}

/** The training and optimizer graphs bound to a model's state. Inputs and outputs are bound once. */
export class Trainer {
  /**
   * What the loss is multiplied by before gradients are taken, which float16 needs (`loss-scale.ts`). A power of two:
   * norms are told and steps are taken without it, and nothing is rounded.
   */
  lossScale = 1;
  readonly #state: ModelState;
  readonly #runtime: Runtime;
  readonly #communicator: Communicator;
  readonly #arenas: DeviceArenas;
  readonly #tensors: BoundTensor[] = [];
  readonly #lossScale = new Float32Array(1);
  readonly #firstMicroBatch = new Float32Array(1);
  readonly #loss = new Float32Array(1);
  readonly #training: Session;
  /** One, or two in turns where the next micro-batch is sent while one is computed; the first is that of the next run. */
  readonly #slots: Slot[];
  /** Scalars among the inputs of the training graph. */
  readonly #scalars: readonly string[];
  readonly #optimizer: Optimizer;
  readonly #gradientNorm: GradientNorm;
  readonly #buffers: Buffers;
  readonly #ema: Ema | undefined;
  #norm = Number.NaN;
  #isUpdating = false;

  constructor(runtime: Runtime, artifacts: string, state: ModelState, communicator = alone) {
    this.#runtime = runtime;
    this.#state = state;
    this.#communicator = communicator;
    this.#arenas = new DeviceArenas(runtime, state);
    const model = (file: string) => readFileSync(join(artifacts, file));
    this.#training = runtime.createSession(model(trainingModelFile));
    this.#scalars = [lossScaleName, firstMicroBatchName].filter((name) =>
      this.#training.inputNames.includes(name),
    );
    if (communicator.size > 1 && state.manifest.buffers !== undefined)
      throw new Error(
        'Trainer: expected one rank where batches change buffers: ranks would not agree on them',
      );
    this.#buffers = new Buffers(runtime, state, this.#arenas);
    this.#slots = Array.from({ length: this.canStage ? 2 : 1 }, () => this.#createSlot());
    this.#optimizer = new Optimizer(runtime, model(optimizerModelFile), state, this.#arenas);
    this.#gradientNorm = new GradientNorm(runtime, model(gradientNormModelFile), state, this.#arenas);
    if (state.manifest.emaDecay !== undefined)
      this.#ema = new Ema(runtime, model(emaModelFile), this.#arenas);
  }

  /** Whether `stage` may be called while a micro-batch is computed. */
  get canStage(): boolean {
    return this.#runtime.device.uploadsDuringRun;
  }

  /** Sends the micro-batch of the next `forwardBackward` to the device beforehand. */
  stage(batch: HostBatch): void {
    const slot = this.#slots[0]!;
    send(slot, batch);
    slot.staged = batch;
  }

  /**
   * Gradients of one micro-batch of `count` in a step; with more than one, and with more than one rank, they add up to
   * their mean. Returns the loss of the micro-batch.
   */
  async forwardBackward(batch: HostBatch, index: number, count: number): Promise<number> {
    const slot = this.#slots[0]!;
    if (slot.staged !== batch) send(slot, batch);
    slot.staged = undefined;
    this.#norm = Number.NaN; // until `reduce`
    this.#slots.push(this.#slots.shift()!);
    this.#lossScale[0] = this.lossScale / count / this.#communicator.size;
    this.#firstMicroBatch[0] = Number(index === 0);
    if (index === 0 && this.#state.manifest.accumulate) this.#arenas.clearGradients();
    slot.binding.send(...this.#scalars);
    if (index === 0) await this.#buffers.start();
    await slot.binding.run();
    await this.#buffers.advance();
    return this.#loss[0]!;
  }

  /**
   * Ends the gradients of a step: adds up those of all ranks, and computes their norm.
   *
   * @param loss of this rank's micro-batches
   * @returns the mean loss of all ranks and the norm of the gradient of the loss that is not scaled
   */
  async reduce(loss: number): Promise<{ loss: number; gradientNorm: number }> {
    const mean = Float64Array.of(loss / this.#communicator.size);
    await this.#communicator.sum(mean);
    await this.#arenas.sumGradients(this.#communicator);
    this.#norm = (await this.#gradientNorm.compute()) / this.lossScale;
    return { loss: mean[0]!, gradientNorm: this.#norm };
  }

  /** The optimizer with the gradients that `reduce` left; `step` counts from 1. */
  async update(step: number, { learningRate, weightDecay, clipGrad }: OptimizerSettings): Promise<void> {
    if (Number.isNaN(this.#norm))
      throw new Error('Trainer: expected reduce() and a finite norm before update()');
    // torch.nn.utils.clip_grad_norm_: min(1, limit / (norm + 1e-6))
    const clip = clipGrad === undefined ? 1 : Math.min(1, clipGrad / (this.#norm + 1e-6));
    this.#isUpdating = true;
    const gradientScale = clip / this.lossScale;
    await this.#optimizer.update({ step, learningRate, weightDecay, gradientScale });
    await this.#buffers.keep();
    await this.#ema?.update();
    this.#isUpdating = false;
  }

  /** Whether weights and averages are all of one step: an `update` that failed may have left parts of two. */
  get isWhole(): boolean {
    return !this.#isUpdating;
  }

  /** A parameter where the device has it, for other sessions. */
  parameter(parameter: ManifestParameter): BoundTensor {
    return this.#arenas.parameter(parameter);
  }

  /** The moving average of a parameter, where one is kept; the parameter itself where it is not trained. */
  emaParameter(parameter: ManifestParameter): BoundTensor {
    return isTrained(parameter) ? this.#arenas.average('ema', parameter) : this.parameter(parameter);
  }

  /** Brings parameters and running averages back into the model's state, to be saved. */
  download(): void {
    this.#arenas.download();
  }

  release(): void {
    for (const session of [this.#training, this.#optimizer, this.#gradientNorm, this.#ema])
      session?.release();
    this.#buffers.release();
    for (const { batch } of this.#slots) batch.release();
    for (const tensor of this.#tensors) tensor.release();
    this.#arenas.release();
  }

  #tensor(data: Float32Array): BoundTensor {
    const tensor = this.#runtime.tensor(data, []);
    this.#tensors.push(tensor);
    return tensor;
  }

  #createSlot(): Slot {
    const { manifest, trained } = this.#state;
    const batch = new BatchTensors(this.#runtime, manifest.inputs);
    const scalars: Readonly<Record<string, Float32Array>> = {
      [lossScaleName]: this.#lossScale,
      [firstMicroBatchName]: this.#firstMicroBatch,
    };
    const inputs: Record<string, BoundTensor> = { ...batch.tensors };
    for (const name of this.#scalars) inputs[name] = this.#tensor(scalars[name]!);
    const outputs: Record<string, BoundTensor> = {
      loss: this.#tensor(this.#loss),
      [gradientsDoneName]: this.#tensor(new Float32Array(1)),
    };
    for (const parameter of manifest.parameters) inputs[parameter.name] = this.#arenas.parameter(parameter);
    Object.assign(inputs, this.#buffers.inputs);
    Object.assign(outputs, this.#buffers.outputs);
    for (const parameter of trained) {
      const gradient = this.#arenas.gradient(parameter);
      outputs[gradientName(parameter.name)] = gradient;
      // the sum is written over the running gradient: the operator that writes it is the last to read it
      if (manifest.accumulate) inputs[accumulationName(parameter.name)] = gradient;
    }
    return { batch, binding: this.#training.bind(inputs, outputs), staged: undefined };
  }
}

function send({ batch, binding }: Slot, given: HostBatch): void {
  batch.set(given);
  binding.send(...batch.names);
}
