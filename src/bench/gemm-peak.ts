import { input } from '../graph/graph.js';
import { gemm } from '../graph/ops/linalg.js';
import { encodeModel } from '../onnx/encode.js';
import type { Runtime } from '../runtime/runtime.js';
import { alignedFloat32Array } from '../runtime/tensor.js';
import { timed } from './statistics.js';

const size = 2048;
const runs = 8;

/** GFLOP/s of one large float32 Gemm alone: what the runtime reaches on this machine at best. */
export async function gemmPeak(runtime: Runtime): Promise<number> {
  const shape = [size, size];
  const inputs = ['a', 'b'].map((name) => input(name, 'float32', shape));
  const graph = {
    name: 'gemm',
    inputs,
    outputs: [{ name: 'product', value: gemm(inputs[0]!, inputs[1]!) }],
  };
  const session = runtime.createSession(encodeModel(graph));
  const [a, b, c] = Array.from({ length: 3 }, () =>
    runtime.tensor(alignedFloat32Array(size * size).fill(0.5), shape),
  );
  try {
    const binding = session.bind({ a: a!, b: b! }, { product: c! });
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < runs; i++) best = Math.min(best, (await timed(() => binding.run())).seconds);
    return (2 * size ** 3) / best / 1e9;
  } finally {
    session.release();
    for (const tensor of [a, b, c]) tensor!.release();
  }
}
