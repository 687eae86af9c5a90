import type { Shape } from '../util/shape.js';
import { OnnxRuntimeApi, type Pointer } from './api.js';
import { cpuDevice, type Device } from './device.js';
import { DeviceHeap } from './device-heap.js';
import { identityModel } from './identity-model.js';
import { Session } from './session.js';
import { type HostArray, Tensor } from './tensor.js';
import { intraOpThreads } from './threads.js';

export interface RuntimeOptions {
  /** Threads that work on one operator; one a core that this process may use where not given. */
  threads?: number;
  /** Path of an ONNX Runtime library instead of onnxruntime-node's. */
  libraryPath?: string;
  /** Sessions, when released, write the time of every operator to files that start with this path and their number. */
  profilePrefix?: string;
  /** Path of a library of custom operators for every session; see `kernels.ts`. */
  kernelsPath?: string | undefined;
  /** Where sessions run; the CPU where not given. */
  device?: Device | undefined;
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
  readonly device: Device;
  /** The device's, where it has memory of its own. */
  readonly heap: DeviceHeap | undefined;
  readonly #profilePrefix: string | undefined;
  #profiles = 0;
  readonly #environment: Pointer;
  readonly #memoryInfo: Pointer;

  constructor({
    threads = 0,
    libraryPath,
    profilePrefix,
    kernelsPath,
    device = cpuDevice,
  }: RuntimeOptions = {}) {
    this.api = new OnnxRuntimeApi(libraryPath);
    this.threads = intraOpThreads(threads);
    this.kernelsPath = kernelsPath;
    this.device = device;
    this.#profilePrefix = profilePrefix;
    this.#environment = this.api.create('CreateEnv', logErrors, 'mae');
    this.#memoryInfo = this.api.create('CreateCpuMemoryInfo', deviceAllocator, defaultMemory);
    if (device.memory === undefined) return;
    try {
      this.heap = new DeviceHeap(this.api, device, this.#createSession(identityModel()));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Loads a model from the bytes of an ONNX file. */
  createSession(model: Uint8Array): Session {
    return this.#createSession(model, this.#profilePrefix);
  }

  #createSession(model: Uint8Array, profilePrefix?: string): Session {
    const { api } = this;
    const options = api.create('CreateSessionOptions');
    try {
      api.call('SetIntraOpNumThreads', options, this.threads);
      api.call('SetSessionLogSeverityLevel', options, logErrors);
      api.call('SetSessionGraphOptimizationLevel', options, allOptimizations);
      // planning all activations into one block keeps them all for the whole run: 2.84 GiB against 1.88 (ViT-B, batch 8)
      api.call('DisableMemPattern', options);
      // threads of a session that has run would go on spinning for a while, beside those of the one that runs next
      api.call('AddSessionConfigEntry', options, 'session.force_spinning_stop', '1');
      // the file's name goes on with the second of the day: two sessions of one second need names of their own
      if (profilePrefix !== undefined)
        api.call('EnableProfiling', options, `${profilePrefix}-${++this.#profiles}`);
      if (this.kernelsPath !== undefined) api.call('RegisterCustomOpsLibrary_V2', options, this.kernelsPath);
      this.device.append(api, options);
      return new Session(api, this.#environment, options, model, this.device);
    } catch (error) {
      throw this.device.explain(error, api);
    } finally {
      api.release('ReleaseSessionOptions', options);
    }
  }

  /** A tensor over an array of the caller's, without a copy. */
  tensor(data: HostArray, shape: Shape): Tensor {
    return new Tensor(this.api, this.#memoryInfo, data, shape);
  }

  release(): void {
    this.heap?.release();
    this.api.release('ReleaseMemoryInfo', this.#memoryInfo);
    this.api.release('ReleaseEnv', this.#environment);
  }
}
