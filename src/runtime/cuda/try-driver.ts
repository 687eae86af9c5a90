/** `node try-driver.js`: prints what `queryCudaDriver` returns, as JSON. */
import type { LibraryHandle } from 'koffi';
import { keepLibrary, loaderMessage } from '../library.js';
import type { CudaCard, CudaDriver } from './driver.js';
import { driverFile, driverPlaces } from './libraries.js';

/** Values of enum CUdevice_attribute (cuda.h). */
const computeCapabilityMajor = 75;
const computeCapabilityMinor = 76;

console.log(JSON.stringify(query()));

function query(): CudaDriver | { problem: string } {
  try {
    return ask();
  } catch (error) {
    return { problem: loaderMessage(driverFile, error) };
  }
}

function openDriver(): LibraryHandle {
  const [first, ...others] = driverPlaces();
  try {
    return keepLibrary(first!);
  } catch (error) {
    if (others.length === 0) throw error;
    return keepLibrary(others[0]!);
  }
}

/** Asks through the driver's API (cuda.h), where every function returns a CUresult, 0 for success. */
function ask(): CudaDriver {
  const library = openDriver();
  const call = (prototype: string, ...args: unknown[]): void => {
    const result = library.func(`int ${prototype}`)(...args) as number;
    if (result !== 0) throw new Error(`${prototype.slice(0, prototype.indexOf('('))}: ${describe(result)}`);
  };
  const describe = (result: number): string => {
    const text: [string | null] = [null];
    library.func('int cuGetErrorString(int, _Out_ str *)')(result, text);
    return `${text[0] ?? 'unknown error'} (CUDA error ${result})`;
  };
  call('cuInit(unsigned int)', 0);
  const number: [number] = [0];
  call('cuDriverGetVersion(_Out_ int *)', number);
  // 1000·major + 10·minor
  const cudaVersion = `${Math.floor(number[0] / 1000)}.${Math.floor((number[0] % 1000) / 10)}`;
  call('cuDeviceGetCount(_Out_ int *)', number);
  const cards = Array.from({ length: number[0] }, (_, ordinal): CudaCard => {
    const device: [number] = [0];
    call('cuDeviceGet(_Out_ int *, int)', device, ordinal);
    const name = Buffer.alloc(256);
    call('cuDeviceGetName(void *, int, int)', name, name.length, device[0]);
    const attribute = (what: number): number => {
      call('cuDeviceGetAttribute(_Out_ int *, int, int)', number, what, device[0]);
      return number[0];
    };
    const context: [unknown] = [null];
    call('cuDevicePrimaryCtxRetain(_Out_ void **, int)', context, device[0]);
    call('cuCtxSetCurrent(void *)', context[0]);
    const [free, total] = [[0], [0]];
    call('cuMemGetInfo_v2(_Out_ size_t *, _Out_ size_t *)', free, total);
    call('cuDevicePrimaryCtxRelease_v2(int)', device[0]);
    return {
      name: name.toString('utf8', 0, name.indexOf(0)),
      computeCapability: attribute(computeCapabilityMajor) + attribute(computeCapabilityMinor) / 10,
      memoryBytes: Number(total[0]),
      freeBytes: Number(free[0]),
    };
  });
  return { cudaVersion, cards };
}
