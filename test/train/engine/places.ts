/** A trainer of a task on every kind of device, and the goldens that it is held to. */
import { type ArtifactOptions, buildArtifacts } from '../../../src/artifact/build.js';
import { readManifest } from '../../../src/artifact/read-manifest.js';
import { writeArtifacts } from '../../../src/artifact/write.js';
import type { Task } from '../../../src/model/task.js';
import { cpuDevice, type Device } from '../../../src/runtime/device.js';
import { findKernels } from '../../../src/runtime/kernels.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { webgpuDevice } from '../../../src/runtime/webgpu/device.js';
import { ModelState } from '../../../src/train/engine/model-state.js';
import { Trainer } from '../../../src/train/engine/trainer.js';
import { bytesOf } from '../../../src/util/bytes.js';
import { float32, readGoldenTensors } from '../../support/goldens.js';
import { webgpuProblem } from '../../support/webgpu.js';
import { temporaryFolder } from '../support.js';

/** Memory of a device with slices and of one without, here the CPU's own taken for a device's. */
const arena: Device = {
  ...cpuDevice,
  name: 'arena',
  memory: { name: 'Cpu', id: 0 },
  lacks: { bytes: false, int64: false, inPlace: true, float32Sums: false },
  optimizerElements: 5000,
};
const kernels = findKernels();
export const kernelsPath = 'path' in kernels ? kernels.path : undefined;

export interface Place {
  readonly name: string;
  readonly device: Device;
  readonly kernelsPath?: string | undefined;
  readonly skipped?: boolean;
}

export const cpu: Place = { name: 'CPU', device: cpuDevice };

export const places: readonly Place[] = [
  cpu,
  {
    name: 'kernels',
    device: cpuDevice,
    kernelsPath,
    skipped: kernelsPath === undefined,
  },
  { name: 'arenas of a device', device: arena },
  { name: 'buffers of a device', device: { ...arena, name: 'buffers', hasArena: false } },
  { name: 'WebGPU', device: webgpuDevice(), skipped: webgpuProblem !== undefined },
];

interface Trained {
  readonly trainer: Trainer;
  readonly state: ModelState;
  readonly runtime: Runtime;
  readonly folder: string;
}

/** A trainer of a task's fresh weights, changed by `begin`; gone when `use` ends. */
export async function withTrainer<T>(
  { device, kernelsPath }: Place,
  task: Task,
  options: Pick<ArtifactOptions, 'batchSize'> & Partial<ArtifactOptions>,
  begin: (state: ModelState) => void,
  use: (trained: Trained) => Promise<T>,
): Promise<T> {
  const folder = temporaryFolder();
  const kernelPrecision = kernelsPath === undefined ? undefined : 'fp32';
  writeArtifacts(
    buildArtifacts(task, { accumulate: false, kernelPrecision, lacks: device.lacks, ...options }),
    folder,
  );
  const state = new ModelState(readManifest(folder));
  state.initialize(0);
  begin(state);
  const runtime = new Runtime({ threads: 1, device, kernelsPath });
  const trainer = new Trainer(runtime, folder, state);
  try {
    return await use({ trainer, state, runtime, folder });
  } finally {
    trainer.release();
    runtime.release();
  }
}

const golden = readGoldenTensors('optimizers');

/** The numbers at an index, or indices, of the first axes of a golden of `optimizers`. */
export function at(name: string, ...indices: number[]): Float32Array {
  const { shape } = golden(name);
  const numbers = float32(golden(name));
  const size = shape.slice(indices.length).reduce((a, b) => a * b, 1);
  const start = indices.reduce((offset, index, axis) => offset * shape[axis]! + index, 0) * size;
  return numbers.slice(start, start + size);
}

/** Bit for bit. */
export function same(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}
