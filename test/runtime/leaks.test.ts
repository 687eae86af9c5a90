/** What is made and released a thousand times leaves no memory behind. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { constant } from '../../src/compiler/graph/constant.js';
import { input } from '../../src/compiler/graph/graph.js';
import { add } from '../../src/compiler/graph/ops/elementwise.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import { Runtime } from '../../src/runtime/runtime.js';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const mebibyte = 2 ** 20;

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

/** Memory outside V8's heap, in bytes. */
function nativeMemory(): number {
  collectGarbage();
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}

/** Growth of the native memory over `count` calls, in MiB, after a warm-up of `warmUp` calls. */
async function growth(warmUp: number, count: number, call: () => Promise<void> | void): Promise<number> {
  for (let i = 0; i < warmUp; i++) await call();
  const before = nativeMemory();
  for (let i = 0; i < count; i++) await call();
  return (nativeMemory() - before) / mebibyte;
}

test('1,000 bindings with their tensors and runs', async () => {
  // many small inputs: a binding or a tensor left behind weighs some hundred bytes for each
  const inputs = Array.from({ length: 64 }, (_, i) => input(`input_${i}`, 'float32', [16]));
  const graph = { name: 'g', inputs, outputs: [{ name: 'y', value: inputs.reduce(add) }] };
  const session = runtime.createSession(encodeModel(graph));
  const arrays = inputs.map((_, i) => new Float32Array(16).fill(i));
  const y = new Float32Array(16);
  const grown = await growth(300, 1000, async () => {
    const tensors = Object.fromEntries(arrays.map((data, i) => [`input_${i}`, runtime.tensor(data, [16])]));
    const output = runtime.tensor(y, [16]);
    const binding = session.bind(tensors, { y: output });
    await binding.run();
    binding.release();
    for (const tensor of [...Object.values(tensors), output]) tensor.release();
  });
  session.release();
  expect(y).toEqual(new Float32Array(16).fill((63 * 64) / 2));
  expect(grown).toBeLessThan(6);
});

test('30 sessions of 8 MiB', async () => {
  const size = 2 * mebibyte;
  const x = input('x', 'float32', [size]);
  const y = add(x, constant('float32', [size], new Float32Array(size).fill(1)));
  const model = encodeModel({ name: 'g', inputs: [x], outputs: [{ name: 'y', value: y }] });
  const grown = await growth(5, 30, () => runtime.createSession(model).release());
  expect(grown).toBeLessThan(40);
});
