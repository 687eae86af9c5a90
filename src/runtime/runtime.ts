import koffi from 'koffi';
import type { Shape } from '../util/shape.js';
import { OnnxRuntimeApi, type Pointer } from './api.js';
import { Session } from './session.js';
import { type HostArray, Tensor } from './tensor.js';

export interface RuntimeOptions {
  /** Threads that work on one operator; the number of cores where not given. */
  threads?: number;
  /** Path of an ONNX Runtime library instead of onnxruntime-node's. */
  libraryPath?: string;
  /** Sessions write the time of every operator to files that start with this path and their number; see `Session.endProfiling`. */
  profilePrefix?: string;
  /** Path of a library of custom operators for every session; see `kernels.ts`. */
  kernelsPath?: string | undefined;
  /** The execution provider of every session beside the CPU's; see `cuda.ts`. */
  provider?: Provider | undefined;
}

/** An execution provider: how sessions get it, and what people are told where it does not start. */
export interface Provider {
  append(api: OnnxRuntimeApi, sessionOptions: Pointer): void;
  /** What to throw in place of an error that came when a session was made. */
  explain(error: unknown, api: OnnxRuntimeApi): unknown;
}

/** ORT_LOGGING_LEVEL_ERROR, ORT_ENABLE_ALL, OrtDeviceAllocator, OrtMemTypeDefault */
const logErrors = 3;
const allOptimizations = 99;
const deviceAllocator = 0;
const defaultMemory = 0;

/** ONNX Runtime with one environment: makes sessions and tensors. Release it last. */
export class Runtime {
  readonly api: OnnxRuntimeApi;
  readonly threads: number;
  readonly kernelsPath: string | undefined;
  readonly #profilePrefix: string | undefined;
  readonly #provider: Provider | undefined;
  #profiles = 0;
  readonly #environment: Pointer;
  readonly #memoryInfo: Pointer;

  constructor(options: RuntimeOptions = {}) {
    const { threads = 0, libraryPath, profilePrefix, kernelsPath } = options;
    this.api = new OnnxRuntimeApi(libraryPath);
    this.threads = threads;
    this.kernelsPath = kernelsPath;
    this.#profilePrefix = profilePrefix;
    this.#provider = options.provider;
    this.#environment = this.api.create('CreateEnv', logErrors, 'mae');
    this.#memoryInfo = this.api.create('CreateCpuMemoryInfo', deviceAllocator, defaultMemory);
  }

  /** Loads a model from the bytes of an ONNX file. */
  createSession(model: Uint8Array): Session {
    const { api } = this;
    const options = api.create('CreateSessionOptions');
    try {
      api.call('SetIntraOpNumThreads', options, this.threads);
      api.call('SetSessionLogSeverityLevel', options, logErrors);
      api.call('SetSessionGraphOptimizationLevel', options, allOptimizations);
      // planning all activations into one block keeps them all for the whole run: 2.84 GiB against 1.88 (ViT-B, batch 8)
      api.call('DisableMemPattern', options);
      // the file's name goes on with the second of the day: two sessions of one second need names of their own
      if (this.#profilePrefix !== undefined)
        api.call('EnableProfiling', options, `${this.#profilePrefix}-${++this.#profiles}`);
      if (this.kernelsPath !== undefined) api.call('RegisterCustomOpsLibrary_V2', options, this.kernelsPath);
      this.#provider?.append(api, options);
      return new Session(api, this.#environment, options, model);
    } catch (error) {
      throw this.#provider?.explain(error, api) ?? error;
    } finally {
      api.release('ReleaseSessionOptions', options);
    }
  }

  /** A tensor over an array of the caller's, without a copy. */
  tensor(data: HostArray, shape: Shape): Tensor {
    return new Tensor(this.api, this.#memoryInfo, data, shape);
  }

  /** Execution providers compiled into the library; whether one starts is another question. */
  availableProviders(): string[] {
    const list: [Pointer | null] = [null];
    const count: [number] = [0];
    this.api.call('GetAvailableProviders', list, count);
    const names = koffi.decode(list[0]!, 'str', count[0]) as string[];
    this.api.call('ReleaseAvailableProviders', list[0], count[0]);
    return names;
  }

  release(): void {
    this.api.release('ReleaseMemoryInfo', this.#memoryInfo);
    this.api.release('ReleaseEnv', this.#environment);
  }
}
