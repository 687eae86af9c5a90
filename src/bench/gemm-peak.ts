import { type Graph, input, type Value } from '../compiler/graph/graph.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import { kernelOps } from '../compiler/graph/own-ops.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { fuseForKernels } from '../compiler/lowering/fuse.js';
import type { KernelPrecision } from '../compiler/lowering/precision.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import type { Runtime } from '../runtime/runtime.js';
import { alignedFloat32Array, type BoundTensor } from '../runtime/tensor.js';
import { timed } from './statistics.js';

const size = 2048;
const runs = 8;
/** Size for a device, such as a software GPU, that is so slow that the large product would take minutes. */
const slowSize = 256;
const slowGflops = 1;

/** GFLOP/s of one large Gemm alone, in the precision of a step's products: what the device reaches at best. */
export async function gemmPeak(runtime: Runtime, kernelPrecision?: KernelPrecision): Promise<number> {
  const first = await gemmGflops(runtime, slowSize, kernelPrecision);
  return first < slowGflops ? first : gemmGflops(runtime, size, kernelPrecision);
}

async function gemmGflops(
  runtime: Runtime,
  size: number,
  kernelPrecision: KernelPrecision | undefined,
): Promise<number> {
  const shape = [size, size];
  const [a, b] = ['a', 'b'].map((name) => input(name, 'float32', shape)) as [Value, Value];
  const plain: Graph = { name: 'gemm', inputs: [a, b], outputs: [{ name: 'product', value: gemm(a, b) }] };
  const graph =
    kernelPrecision === undefined
      ? plain
      : expandDefinitions(fuseForKernels(plain, { bfloat16: kernelPrecision === 'bf16' }), kernelOps);
  const session = runtime.createSession(encodeModel(graph));
  const { heap } = runtime;
  const host = [0.5, 0.5, 0].map((value) =>
    runtime.tensor(alignedFloat32Array(size * size).fill(value), shape),
  );
  const onDevice = heap && host.map((values) => heap.copyOf(values));
  const tensors: readonly BoundTensor[] = onDevice ?? host;
  try {
    const binding = session.bind({ a: tensors[0]!, b: tensors[1]! }, { product: tensors[2]! });
    // a device with memory of its own answers before it is done: reading the product waits for it
    const together = heap === undefined ? 1 : runs;
    const multiply = async () => {
      for (let i = 0; i < together; i++) await binding.run();
      if (onDevice) heap?.copy(onDevice[2]!, host[2]!);
    };
    await multiply();
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < runs / together; i++)
      best = Math.min(best, (await timed(multiply)).seconds / together);
    return (2 * size ** 3) / best / 1e9;
  } finally {
    session.release();
    for (const tensor of [...host, ...(onDevice ?? [])]) tensor.release();
  }
}
