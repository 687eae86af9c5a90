import { type Graph, input, type Value } from '../compiler/graph/graph.js';
import { cast } from '../compiler/graph/ops/elementwise.js';
import { gemm } from '../compiler/graph/ops/linalg.js';
import { reduceSum } from '../compiler/graph/ops/reduction.js';
import { kernelOps } from '../compiler/graph/own-ops.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { fuseForKernels } from '../compiler/lowering/fuse.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import type { Runtime } from '../runtime/runtime.js';
import { alignedFloat32Array } from '../runtime/tensor.js';
import type { Compute } from '../train/engine/compute.js';
import { RandomStream } from '../util/random.js';
import { sizeOf } from '../util/shape.js';
import { timed } from './statistics.js';

const runs = 8;
const halfTypes = { fp16: 'float16', bf16: 'bfloat16' } as const;
/** Size for a device, such as a software GPU, that is so slow that the large product would take minutes. */
const slowSize = 256;
const slowGflops = 1;

/** GFLOP/s of large Gemms alone, in the precision of a step's products: what the device reaches at best. */
export async function gemmPeak(runtime: Runtime, precisions: Precisions = {}): Promise<number> {
  const gflops = (size: number, count: number) =>
    timedGflops(runtime, gemmGraph(size, count, precisions), size, count);
  // a card would spend more time on starting one product, and on bringing it back, than on the product
  const [size, count] = runtime.heap === undefined ? [2048, 1] : [4096, 16];
  const first = await gflops(slowSize, count);
  return first < slowGflops ? first : gflops(size, count);
}

type Precisions = Pick<Compute, 'kernelPrecision' | 'graphPrecision'>;

/** a·b·b·…, `count` products; where it is more than one, the sum over its rows alone is told. */
function gemmGraph(size: number, count: number, { kernelPrecision, graphPrecision }: Precisions): Graph {
  const type = graphPrecision === undefined ? 'float32' : halfTypes[graphPrecision];
  const [a, b] = ['a', 'b'].map((name) => input(name, 'float32', [size, size])) as [Value, Value];
  const factor = cast(b, type);
  let value = cast(a, type);
  for (let i = 0; i < count; i++) value = gemm(value, factor);
  value = cast(value, 'float32');
  if (count > 1) value = reduceSum(value, [0]);
  const plain: Graph = { name: 'gemm', inputs: [a, b], outputs: [{ name: 'product', value }] };
  return kernelPrecision === undefined
    ? plain
    : expandDefinitions(fuseForKernels(plain, { bfloat16: kernelPrecision === 'bf16' }), kernelOps);
}

/** Numbers between ±1, and factors of such a size that the products of the two are about as large. */
function factors(size: number): [Float32Array, Float32Array] {
  const random = new RandomStream(0, 'sample');
  const scaled = (scale: number) => {
    const numbers = alignedFloat32Array(size * size);
    for (let i = 0; i < numbers.length; i++) numbers[i] = scale * (2 * random.float() - 1);
    return numbers;
  };
  return [scaled(1), scaled(Math.sqrt(3 / size))];
}

async function timedGflops(runtime: Runtime, graph: Graph, size: number, count: number): Promise<number> {
  const session = runtime.createSession(encodeModel(graph));
  const { shape } = graph.outputs[0]!.value;
  const [a, b] = factors(size);
  const tensors = [
    runtime.tensor(a, [size, size]),
    runtime.tensor(b, [size, size]),
    runtime.tensor(alignedFloat32Array(sizeOf(shape)), shape),
  ] as const;
  try {
    const binding = session.bind({ a: tensors[0], b: tensors[1] }, { product: tensors[2] });
    await binding.run();
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < runs; i++) best = Math.min(best, (await timed(() => binding.run())).seconds);
    return (count * 2 * size ** 3) / best / 1e9;
  } finally {
    session.release();
    for (const tensor of tensors) tensor.release();
  }
}
