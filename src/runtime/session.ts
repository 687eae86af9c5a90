import koffi from 'koffi';
import type { OnnxRuntimeApi, Pointer } from './api.js';
import type { Device } from './device.js';
import type { BoundTensor } from './tensor.js';

/** A loaded model. Made by `Runtime.createSession`. */
export class Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly #api: OnnxRuntimeApi;
  readonly #device: Device;
  readonly #bindings = new Set<Binding>();
  #handle: Pointer | undefined;

  constructor(
    api: OnnxRuntimeApi,
    environment: Pointer,
    options: Pointer,
    model: Uint8Array,
    device: Device,
  ) {
    this.#api = api;
    this.#device = device;
    this.#handle = api.create('CreateSessionFromArray', environment, model, model.byteLength, options);
    this.inputNames = this.#names('Input');
    this.outputNames = this.#names('Output');
  }

  get handle(): Pointer {
    if (this.#handle === undefined) throw new Error('Session: used after release');
    return this.#handle;
  }

  /** Every input and output bound to a tensor, once for many runs. An output may share the memory of an input. */
  bind(
    inputs: Readonly<Record<string, BoundTensor>>,
    outputs: Readonly<Record<string, BoundTensor>>,
  ): Binding {
    const binding = new Binding(this.#api, this, inputs, outputs, {
      readsHost: this.#device.memory === undefined,
      onRelease: () => this.#bindings.delete(binding),
    });
    this.#bindings.add(binding);
    return binding;
  }

  releaseBindings(): void {
    for (const binding of [...this.#bindings]) binding.release();
  }

  /** Releases the session and its bindings. A profile that it was made with is written now. */
  release(): void {
    this.releaseBindings();
    if (this.#handle !== undefined) this.#api.release('ReleaseSession', this.#handle);
    this.#handle = undefined;
  }

  #names(side: 'Input' | 'Output'): string[] {
    const allocator = this.#api.create('GetAllocatorWithDefaultOptions');
    const count = [0];
    this.#api.call(`SessionGet${side}Count`, this.handle, count as [number]);
    return Array.from({ length: Number(count[0]) }, (_, index) => {
      const text = this.#api.create(`SessionGet${side}Name`, this.handle, index, allocator);
      const name = koffi.decode.string(text) as string;
      this.#api.call('AllocatorFree', allocator, text);
      return name;
    });
  }
}

/** A session with its inputs and outputs in place. Keeps the tensors alive. */
export class Binding {
  readonly #api: OnnxRuntimeApi;
  readonly #session: Session;
  readonly #inputs: Readonly<Record<string, BoundTensor>>;
  readonly #tensors: readonly BoundTensor[];
  readonly #readsHost: boolean;
  readonly #onRelease: () => void;
  #handle: Pointer | undefined;
  #running = false;
  /** Whether copies of inputs may be on their way to the device. */
  #sent: boolean;

  constructor(
    api: OnnxRuntimeApi,
    session: Session,
    inputs: Readonly<Record<string, BoundTensor>>,
    outputs: Readonly<Record<string, BoundTensor>>,
    { readsHost, onRelease }: { readsHost: boolean; onRelease: () => void },
  ) {
    for (const [side, wanted, given] of [
      ['input', session.inputNames, inputs],
      ['output', session.outputNames, outputs],
    ] as const) {
      const missing = wanted.filter((name) => !(name in given));
      const foreign = Object.keys(given).filter((name) => !wanted.includes(name));
      if (missing.length + foreign.length > 0) {
        throw new Error(`Binding: ${side}s missing: [${missing}], unknown: [${foreign}]`);
      }
    }
    this.#api = api;
    this.#session = session;
    this.#inputs = inputs;
    this.#readsHost = readsHost;
    this.#tensors = [...Object.values(inputs), ...Object.values(outputs)];
    this.#onRelease = onRelease;
    this.#sent = !readsHost;
    this.#handle = api.create('CreateIoBinding', session.handle);
    try {
      for (const [name, tensor] of Object.entries(inputs))
        api.call('BindInput', this.#handle, name, tensor.handle);
      for (const [name, tensor] of Object.entries(outputs))
        api.call('BindOutput', this.#handle, name, tensor.handle);
    } catch (error) {
      api.release('ReleaseIoBinding', this.#handle);
      throw error;
    }
  }

  /**
   * Tells of inputs whose host arrays have changed. A device with memory of its own has copies, made when an input is
   * bound: they are made anew.
   */
  send(...names: readonly string[]): void {
    if (this.#readsHost) return;
    const handle = this.#idleHandle();
    this.#sent = true;
    for (const name of names) this.#api.call('BindInput', handle, name, this.#inputs[name]!.handle);
  }

  /** One run, off the event loop. Outputs are in their tensors when the promise resolves. */
  async run(): Promise<void> {
    const handle = this.#arrivedHandle();
    this.#running = true;
    try {
      await this.#api.callAsync('RunWithBinding', this.#session.handle, null, handle);
    } finally {
      this.#running = false;
    }
  }

  /** One run on this thread. */
  runSync(): void {
    this.#api.call('RunWithBinding', this.#session.handle, null, this.#arrivedHandle());
  }

  /**
   * Waits for the copies of inputs. CUDA's are made on a stream of the thread that binds, and a run on another thread has
   * a stream of its own, which would read what was there before.
   */
  #arrivedHandle(): Pointer {
    const handle = this.#idleHandle();
    if (this.#sent) this.#api.call('SynchronizeBoundInputs', handle);
    this.#sent = false;
    return handle;
  }

  #idleHandle(): Pointer {
    if (this.#handle === undefined) throw new Error('Binding: used after release');
    if (this.#running) throw new Error('Binding: a run is already under way');
    for (const tensor of this.#tensors) tensor.handle satisfies Pointer;
    return this.#handle;
  }

  /** Gives the binding back; the tensors stay the caller's. */
  release(): void {
    if (this.#running) throw new Error('Binding: released during a run');
    if (this.#handle !== undefined) this.#api.release('ReleaseIoBinding', this.#handle);
    this.#handle = undefined;
    this.#onRelease();
  }
}
