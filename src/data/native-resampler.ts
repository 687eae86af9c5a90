import koffi, { type LibraryHandle } from 'koffi';
import { kernelsPath } from '../util/kernels-path.js';

/** The two passes of src/data/wasm/resample.ts in the library of src/kernels, whose kernels.h says what is what. */
export interface NativeResampler {
  /** The bytes of memory that `resample` works in. */
  workspace(rowCount: number, width: number, acrossPairs: number, height: number, downPairs: number): number;
  resample(
    source: Uint8Array,
    sourceStride: number,
    rowCount: number,
    width: number,
    acrossPairs: number,
    acrossFirst: Int32Array,
    acrossWeights: Int32Array,
    height: number,
    downPairs: number,
    downFirst: Int32Array,
    downWeights: Int32Array,
    out: Uint8Array,
    workspace: Uint8Array,
  ): void;
}

/** koffi unloads a library when its handle is collected: this one never is. */
let library: LibraryHandle | undefined;

function bind(path: string): NativeResampler | null {
  library = koffi.load(path);
  // Code without vector instructions is slower than WebAssembly's.
  if (library.func('mae_kernels_isa', 'str', [])() === 'plain') return null;
  const size = 'int64_t';
  const axis = [size, size, 'int32_t *', 'int32_t *'];
  const bytes = 'uint8_t *';
  return {
    workspace: library.func('mae_resample_workspace', 'size_t', [size, size, size, size, size]),
    resample: library.func('mae_resample', 'void', [bytes, size, size, ...axis, ...axis, bytes, bytes]),
  } as NativeResampler;
}

let loaded: NativeResampler | null | undefined;

/** The kernels' resampler, or null where there is none (also in an older library) or it would be slower. */
export function nativeResampler(): NativeResampler | null {
  if (loaded !== undefined) return loaded;
  loaded = null;
  const found = kernelsPath();
  if ('path' in found) {
    try {
      loaded = bind(found.path);
    } catch {
      // mae doctor says why a library does not load
    }
  }
  return loaded;
}
