import koffi, { type KoffiFunc, type LibraryHandle, type TypeObject } from 'koffi';
import { UserError } from '../util/errors.js';
import { findLibrary, loadLibrary } from './library.js';

/** A C pointer or handle. */
export type Pointer = bigint;

/** The version of the function table asked for: 1.20's; every later ONNX Runtime serves it too. */
const apiVersion = 20;

/** ORTCHAR_T: paths are wide strings on Windows. */
const pathType = process.platform === 'win32' ? 'str16' : 'str';

/**
 * The functions called, by position in `struct OrtApi` (positions never change between versions).
 * Source: onnxruntime_c_api.h. `s`: returns a status; `v`: returns nothing; `i`: an int; `z`: a C string.
 */
const functions = {
  GetErrorCode: [1, 'i', ['void *']],
  GetErrorMessage: [2, 'z', ['void *']],
  CreateEnv: [3, 's', ['int', 'str', '_Out_ void **']],
  CreateSessionFromArray: [8, 's', ['void *', 'void *', 'size_t', 'void *', '_Out_ void **']],
  CreateSessionOptions: [10, 's', ['_Out_ void **']],
  EnableProfiling: [14, 's', ['void *', pathType]],
  DisableMemPattern: [17, 's', ['void *']],
  SetSessionLogSeverityLevel: [22, 's', ['void *', 'int']],
  SetSessionGraphOptimizationLevel: [23, 's', ['void *', 'int']],
  SetIntraOpNumThreads: [24, 's', ['void *', 'int']],
  SessionGetInputCount: [30, 's', ['void *', '_Out_ size_t *']],
  SessionGetOutputCount: [31, 's', ['void *', '_Out_ size_t *']],
  SessionGetInputName: [36, 's', ['void *', 'size_t', 'void *', '_Out_ void **']],
  SessionGetOutputName: [37, 's', ['void *', 'size_t', 'void *', '_Out_ void **']],
  CreateTensorAsOrtValue: [48, 's', ['void *', 'void *', 'size_t', 'int', '_Out_ void **']],
  CreateTensorWithDataAsOrtValue: [
    49,
    's',
    ['void *', 'void *', 'size_t', 'void *', 'size_t', 'int', '_Out_ void **'],
  ],
  GetTensorMutableData: [51, 's', ['void *', '_Out_ void **']],
  CreateMemoryInfo: [68, 's', ['str', 'int', 'int', 'int', '_Out_ void **']],
  CreateCpuMemoryInfo: [69, 's', ['int', 'int', '_Out_ void **']],
  AllocatorFree: [76, 's', ['void *', 'void *']],
  GetAllocatorWithDefaultOptions: [78, 's', ['_Out_ void **']],
  ReleaseEnv: [92, 'v', ['void *']],
  ReleaseStatus: [93, 'v', ['void *']],
  ReleaseMemoryInfo: [94, 'v', ['void *']],
  ReleaseSession: [95, 'v', ['void *']],
  ReleaseValue: [96, 'v', ['void *']],
  ReleaseSessionOptions: [100, 'v', ['void *']],
  AddSessionConfigEntry: [130, 's', ['void *', 'str', 'str']],
  CreateAllocator: [131, 's', ['void *', 'void *', '_Out_ void **']],
  ReleaseAllocator: [132, 'v', ['void *']],
  RunWithBinding: [133, 's', ['void *', 'void *', 'void *']],
  CreateIoBinding: [134, 's', ['void *', '_Out_ void **']],
  ReleaseIoBinding: [135, 'v', ['void *']],
  BindInput: [136, 's', ['void *', 'str', 'void *']],
  BindOutput: [137, 's', ['void *', 'str', 'void *']],
  SynchronizeBoundInputs: [202, 's', ['void *']],
  SessionOptionsAppendExecutionProvider_CUDA_V2: [204, 's', ['void *', 'void *']],
  CreateCUDAProviderOptions: [205, 's', ['_Out_ void **']],
  UpdateCUDAProviderOptions: [206, 's', ['void *', 'str *', 'str *', 'size_t']],
  GetCUDAProviderOptionsAsString: [207, 's', ['void *', 'void *', '_Out_ void **']],
  ReleaseCUDAProviderOptions: [208, 'v', ['void *']],
  SessionOptionsAppendExecutionProvider: [216, 's', ['void *', 'str', 'void *', 'void *', 'size_t']],
  RegisterCustomOpsLibrary_V2: [228, 's', ['void *', pathType]],
} as const satisfies Record<string, readonly [number, 's' | 'v' | 'i' | 'z', readonly string[]]>;

type FunctionName = keyof typeof functions;
const returnTypes = { s: 'void *', v: 'void', i: 'int', z: 'str' } as const;

type NativeFunction = KoffiFunc<(...args: unknown[]) => unknown>;

/** An array passed as it is lives until the call returns; its address alone would not keep it. */
type Argument = Pointer | number | string | null | Uint8Array | BigInt64Array | string[] | [unknown];

/** An error that ONNX Runtime reported. `code` is its OrtErrorCode. */
export class OnnxRuntimeError extends Error {
  override name = 'OnnxRuntimeError';
  readonly code: number;

  constructor(where: string, code: number, message: string) {
    super(`${where}: ${message}`);
    this.code = code;
  }
}

/** ONNX Runtime's C API. Every call goes through `call`, `callAsync` or `release`. */
export class OnnxRuntimeApi {
  readonly libraryPath: string;
  readonly version: string;
  readonly #functions = new Map<FunctionName, NativeFunction>();
  readonly #table: Pointer;

  constructor(libraryPath = findLibrary()) {
    this.libraryPath = libraryPath;
    const library = loadLibrary(libraryPath);
    // struct OrtApiBase { const OrtApi* (*GetApi)(uint32_t version); const char* (*GetVersionString)(void); }
    const base = entryPoint(library, libraryPath)() as Pointer;
    const [getApi, getVersion] = koffi.decode(base, 'void *', 2) as [Pointer, Pointer];
    this.version = koffi.call(getVersion, koffi.proto('str', []));
    const table = koffi.call(getApi, koffi.proto('void *', ['uint32_t']), apiVersion) as Pointer | null;
    if (!table) {
      throw new UserError(
        `ONNX Runtime: expected version 1.${apiVersion} or later, got ${this.version} at ${libraryPath}`,
      );
    }
    this.#table = table;
  }

  /** Calls a function and throws what it reports. */
  call(name: FunctionName, ...args: Argument[]): void {
    this.#check(name, this.#function(name)(...args) as Pointer | null);
  }

  /** Calls a function on a thread of its own; the event loop goes on meanwhile. */
  callAsync(name: FunctionName, ...args: Argument[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#function(name).async(...args, (error: Error | null, status: unknown) => {
        if (error) return reject(error);
        try {
          this.#check(name, status as Pointer | null);
          resolve();
        } catch (reported) {
          reject(reported);
        }
      });
    });
  }

  /** Calls a function whose last argument receives a handle, and returns the handle. */
  create(name: FunctionName, ...args: Argument[]): Pointer {
    const out: [Pointer | null] = [null];
    this.call(name, ...args, out);
    return out[0]!;
  }

  /** Gives a handle back. */
  release(name: Extract<FunctionName, `Release${string}`>, handle: Pointer): void {
    this.#function(name)(handle);
  }

  #check(name: FunctionName, status: Pointer | null): void {
    if (!status) return;
    const code = this.#function('GetErrorCode')(status) as number;
    const message = this.#function('GetErrorMessage')(status) as string;
    this.release('ReleaseStatus', status);
    throw new OnnxRuntimeError(`ONNX Runtime ${name}`, code, message);
  }

  #function(name: FunctionName): NativeFunction {
    let bound = this.#functions.get(name);
    if (bound === undefined) {
      const [position, returns, parameters] = functions[name];
      const pointer = koffi.decode(this.#table, position * koffi.sizeof('void *'), 'void *') as Pointer;
      const prototype = koffi.proto(returnTypes[returns], parameters.map(parameterType));
      bound = koffi.decode(pointer, prototype) as NativeFunction;
      this.#functions.set(name, bound);
    }
    return bound;
  }
}

function entryPoint(library: LibraryHandle, path: string): NativeFunction {
  try {
    return library.func('OrtGetApiBase', 'void *', []) as NativeFunction;
  } catch {
    throw new UserError(`ONNX Runtime: expected an ONNX Runtime library, got another one at ${path}`);
  }
}

function parameterType(text: string): TypeObject {
  // typed as a marker, which prototypes take as a type
  const isOut = text.startsWith('_Out_ ');
  return isOut ? (koffi.out(text.slice('_Out_ '.length)) as unknown as TypeObject) : koffi.type(text);
}
