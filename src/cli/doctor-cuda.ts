import { formatGiB } from '../jobs/memory-estimate.js';
import { type CudaDriver, queryCudaDriver } from '../runtime/cuda/driver.js';
import {
  type CudaLibraries,
  findCudaLibraries,
  installRemedy,
  libraryRemedy,
} from '../runtime/cuda/libraries.js';
import { libraryVariable } from '../runtime/library.js';

/** What `mae doctor` says of CUDA: what was found and where, and what to do, as rows of a name and a value. */
export function cudaRows(
  onnxRuntime: string,
  libraries: CudaLibraries = findCudaLibraries(onnxRuntime),
  driver: CudaDriver | { readonly problem: string } = queryCudaDriver(),
): [name: string, value: string][] {
  if (process.platform === 'darwin') return [];
  const { path, isThere, cudaVersion, needed, cudnn } = libraries;
  const missing = needed.filter(({ problem }) => problem !== undefined);
  const rows: [string, string][] = [];
  if ('problem' in driver) rows.push(['driver', `does not answer: ${driver.problem}`]);
  else {
    rows.push(['driver', `serves CUDA ${driver.cudaVersion}, ${driver.cards.length} card(s)`]);
    driver.cards.forEach(({ name, memoryBytes, freeBytes }, i) => {
      rows.push([`cuda:${i}`, `${name}, ${formatGiB(memoryBytes)}, ${formatGiB(freeBytes)} free`]);
    });
  }
  const forVersion = cudaVersion === undefined ? '' : `, for CUDA ${cudaVersion}`;
  rows.push(['provider', isThere ? `${path}${forVersion}` : `none at ${path}`]);
  if (isThere && needed.length > 0) {
    const found = needed.filter(({ problem }) => problem === undefined).map(({ name }) => name);
    rows.push(['its libraries', found.length === 0 ? 'none found' : `found: ${found.join(', ')}`]);
    for (const { problem } of missing) rows.push(['', `missing: ${problem}`]);
  }
  rows.push(['cuDNN', cudnn.problem === undefined ? `found: ${cudnn.path}` : `not found: ${cudnn.problem}`]);
  for (const remedy of remedies(libraries, driver)) rows.push(['to do', remedy]);
  return rows;
}

function remedies(
  { isThere, cudaVersion, needed, cudnn }: CudaLibraries,
  driver: CudaDriver | { readonly problem: string },
): string[] {
  const all: string[] = [];
  const missing = needed.filter(({ problem }) => problem !== undefined);
  if ('problem' in driver && missing.length === 0)
    all.push("install or repair NVIDIA's driver: nvidia-smi has to list a card");
  if (!isThere) all.push(`install the provider: ${installRemedy()}`);
  // libraries that only cuDNN's operators need are told where nothing else is missing
  if (missing.length > 0) all.push(libraryRemedy(missing, cudaVersion));
  else if (isThere && cudnn.problem !== undefined) all.push(libraryRemedy([cudnn], cudaVersion));
  if (isThere && cudaVersion !== undefined && 'cards' in driver && Number(driver.cudaVersion) < cudaVersion) {
    all.push(
      `update the driver, which serves CUDA ${driver.cudaVersion}, to one that serves ${cudaVersion}; or set ` +
        `${libraryVariable} to an ONNX Runtime for an older CUDA`,
    );
  }
  return all;
}
