import { expect, test } from 'vitest';
import { cudaRows } from '../../src/cli/doctor-cuda.js';
import type { CudaDriver } from '../../src/runtime/cuda/driver.js';
import type { CudaLibraries } from '../../src/runtime/cuda/libraries.js';

const problem = (name: string) => `${name}: cannot open shared object file: No such file or directory`;
const found = (name: string) => ({ name, path: name });
const missing = (name: string) => ({ name, problem: problem(name) });

const complete: CudaLibraries = {
  path: '/ort/libonnxruntime_providers_cuda.so',
  isThere: true,
  cudaVersion: 13,
  needed: ['libcublas.so.13', 'libcudart.so.13', 'libcuda.so.1'].map(found),
  cudnn: { name: 'libcudnn.so.9', path: '/nvidia/cudnn/lib/libcudnn.so.9' },
};
const driver: CudaDriver = {
  cudaVersion: '13.0',
  cards: [
    {
      name: 'NVIDIA H100 80GB HBM3',
      computeCapability: 9,
      memoryBytes: 80 * 2 ** 30,
      freeBytes: 79 * 2 ** 30,
    },
  ],
};
const rows = (libraries: Partial<CudaLibraries>, asked: CudaDriver | { problem: string } = driver) =>
  cudaRows('/ort/libonnxruntime.so.1', { ...complete, ...libraries }, asked)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n');
const lacks = { problem: problem('libcuda.so.1') };

test.skipIf(process.platform === 'darwin')('all is there', () => {
  expect(rows({})).toMatchInlineSnapshot(`
    "driver: serves CUDA 13.0, 1 card(s)
    cuda:0: NVIDIA H100 80GB HBM3, 80.00 GiB, 79.00 GiB free
    provider: /ort/libonnxruntime_providers_cuda.so, for CUDA 13
    its libraries: found: libcublas.so.13, libcudart.so.13, libcuda.so.1
    cuDNN: found: /nvidia/cudnn/lib/libcudnn.so.9"
  `);
});

test.skipIf(process.platform === 'darwin')('nothing is there', () => {
  const text = rows(
    { isThere: false, cudaVersion: undefined, needed: [], cudnn: missing('libcudnn.so.9') },
    lacks,
  );
  expect(text).toContain('driver: does not answer: libcuda.so.1: cannot open shared object file');
  expect(text).toContain('provider: none at /ort/libonnxruntime_providers_cuda.so');
  expect(text).toMatch(/^to do: install or repair NVIDIA's driver/m);
  expect(text).toMatch(/^to do: install the provider: .*pip install "onnxruntime-gpu\[cuda,cudnn\]>=1\.30"/m);
  if (process.platform === 'linux' && process.arch === 'x64')
    expect(text).toMatch(
      /for CUDA 12: node \S+onnxruntime-node\/script\/install\.js --onnxruntime-node-install=cuda12;/,
    );
});

test.skipIf(process.platform === 'darwin')('libraries are missing', () => {
  const needed = [missing('libcublas.so.12'), found('libcudart.so.12'), missing('libcuda.so.1')];
  const text = rows({ cudaVersion: 12, needed }, lacks);
  expect(text).toContain('its libraries: found: libcudart.so.12');
  expect(text).toContain(`: missing: ${problem('libcublas.so.12')}`);
  expect(text.match(/^to do: /gm)).toHaveLength(1);
  expect(text).toMatch(/^to do: install NVIDIA's driver, .*; install CUDA 12 .*nvidia-cublas-cu12/m);
});

test.skipIf(process.platform === 'darwin')('cuDNN is missing, or the driver is too old', () => {
  expect(rows({ cudnn: missing('libcudnn.so.9') })).toMatch(/^to do: install cuDNN 9 .*nvidia-cudnn-cu13$/m);
  expect(rows({}, { ...driver, cudaVersion: '12.8' })).toMatch(
    /^to do: update the driver, which serves CUDA 12\.8, to one that serves 13; /m,
  );
});
