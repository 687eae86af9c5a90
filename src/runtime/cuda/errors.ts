import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UserError } from '../../util/errors.js';
import { OnnxRuntimeError } from '../api.js';
import { keepLibrary, loaderMessage } from '../library.js';
import { libraryRemedy, providerFile } from './libraries.js';

/** What to do about an error of the CUDA runtime, by its number (cudaError_t in driver_types.h). */
const cudaRemedies: Readonly<Record<number, string>> = {
  3: 'load the driver (nvidia-smi has to list the card), or start the container again',
  35: "update NVIDIA's driver: CUDA 13 needs 580 or later, CUDA 12 needs 525 or later",
  36: "update NVIDIA's driver: CUDA 13 needs 580 or later, CUDA 12 needs 525 or later",
  46: 'another process has the card to itself (nvidia-smi lists them and the compute mode); end it, or take another with --device cuda:N',
  100: 'nvidia-smi has to list a card; start a container with docker run --gpus all, and look at CUDA_VISIBLE_DEVICES',
  101: 'nvidia-smi -L lists the cards; --device cuda:N counts those from 0 that CUDA_VISIBLE_DEVICES leaves',
  209: 'this build of ONNX Runtime has no kernels for so old a card; use --device webgpu or another build',
  802: 'start nvidia-fabricmanager, which machines with NVSwitch need',
  803: 'the driver was updated while it was loaded: restart the machine',
  804: "update NVIDIA's driver to one that CUDA of this version supports without forward compatibility",
  999: 'restart the machine, or load the module nvidia_uvm again: it may have been lost in a suspend',
};

/**
 * The error of a call that may start the CUDA provider, as a UserError with the loader's or the driver's own message
 * and the remedy, where the cause is known; any other error as it is.
 */
export function explainCudaError(error: unknown, onnxRuntime: string): unknown {
  if (!(error instanceof OnnxRuntimeError)) return error;
  const { message } = error;
  const device = /Invalid device ID: (\d+), must be between 0 \(inclusive\) and (\d+) \(exclusive\)/.exec(
    message,
  );
  if (device !== null) {
    const count = Number(device[2]);
    const there = count === 1 ? 'cuda:0 alone' : `cuda:0 to cuda:${count - 1}`;
    return new UserError(`--device: expected ${there}, got cuda:${device[1]}; nvidia-smi -L lists the cards`);
  }
  const cuda = /CUDA failure (\d+): ([^;]+?) ;/.exec(message);
  if (cuda !== null) {
    const remedy = cudaRemedies[Number(cuda[1])];
    return remedy === undefined
      ? error
      : new UserError(`--device cuda: ${cuda[2]} (CUDA error ${cuda[1]}); ${remedy}`);
  }
  // cuDNN and cuBLAS: the first thing that they do is to make a handle on the card
  const library =
    /(CUDNN|CUBLAS) failure \d+: (\w+) ;.*expr=(cudnnCreate|cublasCreate|cublasLtCreate)\b/s.exec(message);
  if (library !== null) {
    return new UserError(
      `--device cuda: ${library[3]} says ${library[2]}; nvidia-smi has to list the card with memory to spare, and ` +
        'cuDNN, cuBLAS and the driver have to be of versions that go together: mae doctor lists them',
    );
  }
  if (/cuDNN is required|cuDNN handle is required/i.test(message)) {
    return new UserError(
      `--device cuda: ${lastSentence(message)}; ${libraryRemedy([{ name: 'libcudnn.so.9' }], 13)}`,
    );
  }
  if (message.includes('fallback to CPU EP has been explicitly disabled')) {
    return new UserError(
      '--device cuda: this ONNX Runtime has no CUDA kernels for some operators of the graph, which would run on the ' +
        'CPU at every step; use ONNX Runtime 1.30 or later (mae doctor says which was found)',
    );
  }
  if (/Failed to load shared library/.test(message)) {
    return new UserError(
      `--device cuda: the CUDA provider does not load (${whyNotLoaded(onnxRuntime)}); mae doctor says what was found`,
    );
  }
  return error;
}

/**
 * Why the provider's library does not load. ONNX Runtime keeps that to its log, so the loader is asked once more; it
 * fails as it just did, before any initialiser runs.
 */
function whyNotLoaded(onnxRuntime: string): string {
  const path = join(dirname(onnxRuntime), providerFile);
  if (!existsSync(path)) return `no file at ${path}`;
  try {
    keepLibrary(path);
    return `${path}, for a reason that only ONNX Runtime's log above has`;
  } catch (error) {
    return loaderMessage(path, error);
  }
}

function lastSentence(message: string): string {
  return message
    .trim()
    .split('\n')
    .pop()!
    .replace(/^.*Status Message: /, '');
}
