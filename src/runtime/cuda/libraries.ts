import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UserError } from '../../util/errors.js';
import { keepLibrary, libraryVariable, loaderMessage } from '../library.js';
import { neededLibraries } from './elf.js';

/** Where the CUDA provider's library is, and which of NVIDIA's it needs. */
export interface CudaLibraries {
  /** The provider's library, or where it would have to be. */
  readonly path: string;
  readonly isThere: boolean;
  /** The major version of CUDA that it was built for, where its file says so. */
  readonly cudaVersion?: number | undefined;
  readonly needed: readonly CudaLibrary[];
  /** cuDNN, which provider libraries from 1.30 on look for at the first operator that needs it. */
  readonly cudnn: CudaLibrary;
}

export interface CudaLibrary {
  readonly name: string;
  /** The place where it was found: the name itself where the system's loader knew it, or a path. */
  readonly path?: string | undefined;
  /** The loader's own message where it does not load. */
  readonly problem?: string | undefined;
}

const isWindows = process.platform === 'win32';
export const providerFile = isWindows ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';
const bridgeFile = isWindows ? 'onnxruntime_providers_shared.dll' : 'libonnxruntime_providers_shared.so';
/** Part of the driver, not of the CUDA toolkit. */
export const driverFile = isWindows ? 'nvcuda.dll' : 'libcuda.so.1';
const cudnnFile = isWindows ? 'cudnn64_9.dll' : 'libcudnn.so.9';

/**
 * The CUDA provider's library beside ONNX Runtime's own, with the NVIDIA libraries that it needs. They are loaded on
 * the way, by their names or from places that the system's loader does not look at: the loader takes what is loaded.
 * The provider's library itself is not: its initialisers expect ONNX Runtime to have loaded it.
 */
export function findCudaLibraries(onnxRuntime: string): CudaLibraries {
  const folder = dirname(onnxRuntime);
  const path = join(folder, providerFile);
  const isThere = existsSync(path) && existsSync(join(folder, bridgeFile));
  const names = isThere && !isWindows ? neededLibraries(path).filter((name) => /^lib(cu|nv)/.test(name)) : [];
  const places = libraryPlaces(folder);
  const runtime = names.map((name) => /^libcudart\.so\.(\d+)$/.exec(name)?.[1]).find(Boolean);
  return {
    path,
    isThere,
    cudaVersion: runtime === undefined ? undefined : Number(runtime),
    needed: names.map((name) => findLibraryAt(name, places)),
    cudnn: findLibraryAt(cudnnFile, places),
  };
}

/** A UserError where the provider's library, or one that it needs, is missing. */
export function checkCudaLibraries(onnxRuntime: string): void {
  if (process.platform === 'darwin') {
    throw new UserError('--device cuda: there is no CUDA on macOS; use --device webgpu or --device cpu');
  }
  const { path, isThere, needed, cudaVersion } = findCudaLibraries(onnxRuntime);
  if (!isThere) {
    throw new UserError(
      `--device cuda: expected ONNX Runtime's CUDA provider at ${path}, found none; ${installRemedy()}`,
    );
  }
  const missing = needed.filter(({ problem }) => problem !== undefined);
  if (missing.length === 0) return;
  const messages = missing.map(({ problem }) => problem);
  throw new UserError(
    `--device cuda: ${path} does not load (${messages.join('; ')}); ${libraryRemedy(missing, cudaVersion)}`,
  );
}

/** What to do where libraries of NVIDIA's are missing. */
export function libraryRemedy(missing: readonly { name: string }[], cudaVersion: number | undefined): string {
  const isDriver = ({ name }: { name: string }) => name === driverFile;
  const remedies: string[] = [];
  if (missing.some(isDriver)) {
    remedies.push(
      "install NVIDIA's driver, or in a container start it with the NVIDIA Container Toolkit (docker run --gpus all)",
    );
  }
  const toolkit = missing.filter((library) => !isDriver(library)).map(({ name }) => name);
  if (toolkit.length > 0) {
    const version = cudaVersion ?? 12;
    const isCudnn = toolkit.every((name) => /cudnn/.test(name));
    const [what, packages] = isCudnn
      ? ['cuDNN 9', `nvidia-cudnn-cu${version}`]
      : [`CUDA ${version}`, toolkitPackages(version)];
    remedies.push(
      `install ${what} and put its libraries on the loader's path (LD_LIBRARY_PATH), or, into the Python whose ` +
        `onnxruntime-gpu is used: pip install ${packages}`,
    );
  }
  return remedies.join('; ');
}

function toolkitPackages(version: number): string {
  if (version >= 13) return `"onnxruntime-gpu[cuda,cudnn]"`;
  const parts = ['cublas', 'cuda-runtime', 'curand', 'cufft', 'cudnn'];
  return parts.map((part) => `nvidia-${part}-cu${version}`).join(' ');
}

/** How to get the provider's library, in one sentence. */
export function installRemedy(): string {
  const command = cudaInstallCommand();
  const other = `for CUDA 13: ${wheelCommand}, and set ${libraryVariable} to its onnxruntime/capi folder`;
  return command === undefined ? other : `for CUDA 12: ${command}; ${other}`;
}

export const wheelCommand = 'pip install "onnxruntime-gpu[cuda,cudnn]>=1.30"';

/**
 * The command that downloads the provider for CUDA 12 beside onnxruntime-node's library, with that package's own
 * installer; undefined where it has none (its script/install-metadata.js lists linux/x64 alone).
 */
export function cudaInstallCommand(): string | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const folder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const script = join(folder, 'script', 'install.js');
  return `node ${/\s/.test(script) ? `"${script}"` : script} --onnxruntime-node-install=cuda12`;
}

/** The driver's library: by its name, and where Windows puts it into Linux. */
export function driverPlaces(): string[] {
  const inWindows = '/usr/lib/wsl/lib/libcuda.so.1';
  return existsSync(inWindows) && !isWindows ? [driverFile, inWindows] : [driverFile];
}

/** Folders that may hold NVIDIA's libraries and that no loader looks at by itself. */
function libraryPlaces(onnxRuntimeFolder: string): string[] {
  // <site-packages>/onnxruntime/capi, and <site-packages>/nvidia/<package>/lib of NVIDIA's wheels
  const wheels = join(realpathSync(onnxRuntimeFolder), '..', '..', 'nvidia');
  const inWheels = existsSync(wheels)
    ? readdirSync(wheels).map((name) => join(wheels, name, isWindows ? 'bin' : 'lib'))
    : [];
  const system = isWindows ? [] : ['/usr/local/cuda/lib64', '/usr/lib/wsl/lib'];
  return [...inWheels, ...system].filter((folder) => existsSync(folder));
}

function findLibraryAt(name: string, places: readonly string[]): CudaLibrary {
  let problem: string | undefined;
  for (const path of [
    name,
    ...places.map((folder) => join(folder, name)).filter((path) => existsSync(path)),
  ]) {
    try {
      keepLibrary(path);
      return { name, path };
    } catch (error) {
      problem = loaderMessage(path, error);
    }
  }
  return { name, problem };
}
