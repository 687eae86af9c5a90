import { setImmediate as nextTurn } from 'node:timers/promises';
import onnxProto from 'onnx-proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Graph, input, type Value } from '../../src/compiler/graph/graph.js';
import { add, cast, mul, neg, shift, sub } from '../../src/compiler/graph/ops/elementwise.js';
import { matMul } from '../../src/compiler/graph/ops/linalg.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import { OnnxRuntimeError } from '../../src/runtime/api.js';
import { float16Model } from '../../src/runtime/identity-model.js';
import { Runtime } from '../../src/runtime/runtime.js';
import type { Session } from '../../src/runtime/session.js';
import { addressOf, alignedFloat32Array } from '../../src/runtime/tensor.js';
import '../support/allclose.js';
import { randomNormal } from '../support/random.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

function graph(inputs: readonly Value[], outputs: Record<string, Value>): Graph {
  return { name: 'g', inputs, outputs: Object.entries(outputs).map(([name, value]) => ({ name, value })) };
}

function sessionOf(inputs: readonly Value[], outputs: Record<string, Value>): Session {
  return runtime.createSession(encodeModel(graph(inputs, outputs)));
}

/** y = x + 1 of a vector. */
function increment(size: number): Session {
  const x = input('x', 'float32', [size]);
  return sessionOf([x], { y: shift(x, 1) });
}

async function errorOf(run: () => unknown): Promise<unknown> {
  try {
    await run();
  } catch (error) {
    return error;
  }
  throw new Error('errorOf: expected an error');
}

describe('a session', () => {
  test('has the names of its inputs and outputs in the order of the graph', () => {
    const [b, a] = [input('b', 'float32', [2]), input('a', 'float32', [2])];
    const session = sessionOf([b, a], { 'z.w': add(b, a), y: mul(a, b) });
    expect(session.inputNames).toEqual(['b', 'a']);
    expect(session.outputNames).toEqual(['z.w', 'y']);
    session.release();
  });

  test('runs with every type of tensor, and scalars', async () => {
    const [d, n, u] = [input('d', 'float64', [2]), input('n', 'int64', []), input('u', 'uint8', [3])];
    const session = sessionOf([d, n, u], { half: mul(d, d), next: add(n, n), wide: cast(u, 'float32') });
    const [half, next, wide] = [new Float64Array(2), new BigInt64Array(1), new Float32Array(3)];
    const binding = session.bind(
      {
        d: runtime.tensor(Float64Array.of(1 / 3, -4), [2]),
        n: runtime.tensor(BigInt64Array.of(2n ** 60n), []),
        u: runtime.tensor(Uint8Array.of(0, 128, 255), [3]),
      },
      { half: runtime.tensor(half, [2]), next: runtime.tensor(next, []), wide: runtime.tensor(wide, [3]) },
    );
    await binding.run();
    expect(half).toEqual(Float64Array.of((1 / 3) ** 2, 16));
    expect(next).toEqual(BigInt64Array.of(2n ** 61n));
    expect(wide).toEqual(Float32Array.of(0, 128, 255));
    session.release();
  });

  test('runs again with what the host wrote into the arrays in between', async () => {
    const session = increment(2);
    const [x, y] = [Float32Array.of(1, 2), new Float32Array(2)];
    const binding = session.bind({ x: runtime.tensor(x, [2]) }, { y: runtime.tensor(y, [2]) });
    await binding.run();
    x[1] = 10;
    await binding.run();
    expect(y).toEqual(Float32Array.of(2, 11));
    session.release();
  });

  test('writes an output into the memory of its own input', async () => {
    const session = increment(1000);
    const tensor = runtime.tensor(new Float32Array(1000), [1000]);
    const binding = session.bind({ x: tensor }, { y: tensor });
    for (let run = 0; run < 3; run++) await binding.run();
    expect(tensor.data).toEqual(new Float32Array(1000).fill(3));
    session.release();
  });

  test('takes slices of an arena at any offset', async () => {
    const size = 37;
    const [a, b] = [input('a', 'float32', [size, size]), input('b', 'float32', [size, size])];
    const session = sessionOf([a, b], { y: matMul(a, b) });
    const arena = new Float32Array(3 * size * size + 3);
    const expected = new Float64Array(size * size);
    const at = (place: number) =>
      arena.subarray(place * size * size + place + 1, (place + 1) * size * size + place + 1);
    const [left, right, result] = [at(0), at(1), at(2)];
    expect(left.byteOffset % 64).not.toBe(0);
    left.set(randomNormal(1, [size, size], 0));
    right.set(randomNormal(1, [size, size], 1));
    for (let i = 0; i < size; i++) {
      for (let j = 0; j < size; j++) {
        for (let k = 0; k < size; k++) expected[i * size + j]! += left[i * size + k]! * right[k * size + j]!;
      }
    }
    const tensors = [left, right, result].map((data) => runtime.tensor(data, [size, size]));
    const binding = session.bind({ a: tensors[0]!, b: tensors[1]! }, { y: tensors[2]! });
    await binding.run();
    expect(result).toBeAllclose(expected, { rtol: 1e-5, atol: 1e-5 });
    // nothing is written beside the slice
    expect([arena[0], arena[size * size + 1], arena[2 * (size * size + 1)]]).toEqual([0, 0, 0]);
    session.release();
  });

  test('runs two bindings at once', async () => {
    const session = increment(4096);
    const outputs = [new Float32Array(4096), new Float32Array(4096)];
    const bindings = outputs.map((y, i) =>
      session.bind(
        { x: runtime.tensor(new Float32Array(4096).fill(i), [4096]) },
        { y: runtime.tensor(y, [4096]) },
      ),
    );
    await Promise.all(bindings.map((binding) => binding.run()));
    outputs.forEach((y, i) => {
      expect(y).toEqual(new Float32Array(4096).fill(i + 1));
    });
    session.release();
  });

  test('the event loop turns while it runs', async () => {
    const size = 1024;
    const [a, b] = [input('a', 'float32', [size, size]), input('b', 'float32', [size, size])];
    const session = sessionOf([a, b], { y: matMul(matMul(matMul(a, b), b), b) });
    const tensor = () => runtime.tensor(new Float32Array(size * size), [size, size]);
    const binding = session.bind({ a: tensor(), b: tensor() }, { y: tensor() });
    let finished = false;
    const run = binding.run().then(() => {
      finished = true;
    });
    let turns = 0;
    while (!finished) {
      await nextTurn();
      turns++;
    }
    await run;
    // a run that blocks the loop is over after one turn or two
    expect(turns).toBeGreaterThan(20);
    session.release();
  });
});

describe('errors of ONNX Runtime', () => {
  test('a model that is none', async () => {
    const error = (await errorOf(() => runtime.createSession(Buffer.from('no model')))) as OnnxRuntimeError;
    expect(error).toBeInstanceOf(OnnxRuntimeError);
    expect(error.code).toBe(7); // ORT_INVALID_PROTOBUF
    expect(error.message).toMatch(/^ONNX Runtime CreateSessionFromArray: .*protobuf/i);
  });

  test('an operator without a kernel', async () => {
    const x = input('x', 'uint8', [2]);
    const error = (await errorOf(() => sessionOf([x], { y: neg(x) }))) as OnnxRuntimeError;
    expect(error).toBeInstanceOf(OnnxRuntimeError);
    expect(error.message).toMatch(/Neg/);
    expect(error.code).toBeGreaterThan(0);
  });

  test('a tensor of another shape, found when it runs; the binding is whole afterwards', async () => {
    const session = increment(4);
    const binding = session.bind(
      { x: runtime.tensor(new Float32Array(3), [3]) },
      { y: runtime.tensor(new Float32Array(4), [4]) },
    );
    for (let attempt = 0; attempt < 2; attempt++) {
      const error = (await errorOf(() => binding.run())) as OnnxRuntimeError;
      expect(error).toBeInstanceOf(OnnxRuntimeError);
      expect(error.code).toBe(2); // ORT_INVALID_ARGUMENT
      expect(error.message).toMatch(/^ONNX Runtime RunWithBinding: .*Got: 3 Expected: 4/s);
    }
    binding.release();
    session.release();
  });

  test('a tensor of another type', async () => {
    const session = increment(4);
    const binding = session.bind(
      { x: runtime.tensor(new Float64Array(4), [4]) },
      { y: runtime.tensor(new Float32Array(4), [4]) },
    );
    const error = await errorOf(() => binding.run());
    expect(error).toBeInstanceOf(OnnxRuntimeError);
    expect((error as OnnxRuntimeError).message).toMatch(/data type/);
    session.release();
  });
});

describe('misuse', () => {
  const vector = () => runtime.tensor(new Float32Array(2), [2]);

  test('a tensor of another size than its shape', () => {
    expect(() => runtime.tensor(new Float32Array(3), [2, 2])).toThrow(
      'Tensor: expected 4 elements for [2, 2], got 3',
    );
  });

  test('names that the model has not, and names left out', () => {
    const session = increment(2);
    expect(() => session.bind({ z: vector() }, { y: vector() })).toThrow(
      'Binding: inputs missing: [x], unknown: [z]',
    );
    expect(() => session.bind({ x: vector() }, {})).toThrow('Binding: outputs missing: [y], unknown: []');
    session.release();
  });

  test('a session after its release', () => {
    const session = increment(2);
    session.release();
    expect(() => session.bind({ x: vector() }, { y: vector() })).toThrow('Session: used after release');
    session.release();
  });

  test('a binding after its release and after its session’s', async () => {
    const session = increment(2);
    const [one, two] = [0, 1].map(() => session.bind({ x: vector() }, { y: vector() }));
    one!.release();
    one!.release();
    await expect(one!.run()).rejects.toThrow('Binding: used after release');
    await two!.run();
    session.release();
    await expect(two!.run()).rejects.toThrow('Binding: used after release');
  });

  test('a tensor after its release', async () => {
    const session = increment(2);
    const [x, y] = [vector(), vector()];
    const binding = session.bind({ x }, { y });
    y.release();
    y.release();
    await expect(binding.run()).rejects.toThrow('Tensor: used after release');
    expect(() => session.bind({ x }, { y })).toThrow('Tensor: used after release');
    session.release();
  });

  test('a second run, or a release, during a run', async () => {
    const session = increment(2 ** 20);
    const data = new Float32Array(2 ** 20);
    const tensor = runtime.tensor(data, [2 ** 20]);
    const binding = session.bind({ x: tensor }, { y: tensor });
    const run = binding.run();
    await expect(binding.run()).rejects.toThrow('a run is already under way');
    expect(() => binding.release()).toThrow('released during a run');
    expect(() => session.release()).toThrow('released during a run');
    await run;
    expect(data.every((number) => number === 1)).toBe(true);
    await binding.run();
    expect(data[12345]).toBe(2);
    session.release();
  });
});

test('several runtimes live side by side, and end one by one', async () => {
  const other = new Runtime({ threads: 2 });
  const x = input('x', 'float32', [2]);
  const session = other.createSession(encodeModel(graph([x], { y: sub(x, x) })));
  const y = Float32Array.of(1, 1);
  const binding = session.bind({ x: other.tensor(Float32Array.of(3, 4), [2]) }, { y: other.tensor(y, [2]) });
  await binding.run();
  expect(y).toEqual(new Float32Array(2));
  session.release();
  other.release();
  const left = increment(2);
  await left.bind({ x: runtime.tensor(Float32Array.of(3, 4), [2]) }, { y: runtime.tensor(y, [2]) }).run();
  expect(y).toEqual(Float32Array.of(4, 5));
  left.release();
  expect(runtime.api.version).toMatch(/^1\.\d+\.\d+/);
});

test('the model that tries float16 negates in it', async () => {
  const model = float16Model();
  const { node } = onnxProto.onnx.ModelProto.decode(model).graph!;
  const { FLOAT, FLOAT16 } = onnxProto.onnx.TensorProto.DataType;
  expect(node!.map(({ opType, attribute }) => [opType, ...attribute!.map(({ i }) => Number(i))])).toEqual([
    ['Cast', FLOAT16],
    ['Neg'],
    ['Cast', FLOAT],
  ]);
  const y = new Float32Array(2);
  const session = runtime.createSession(model);
  const x = Float32Array.of(1.5, -2);
  await session.bind({ x: runtime.tensor(x, [2]) }, { y: runtime.tensor(y, [2]) }).run();
  expect([...y]).toEqual([-1.5, 2]);
  session.release();
});

test('alignedFloat32Array starts at a multiple of 64 bytes and is zero', () => {
  for (const length of [1, 7, 1000, 100_000]) {
    const array = alignedFloat32Array(length);
    expect(array).toHaveLength(length);
    expect(addressOf(array) % 64n).toBe(0n);
    expect(array.every((number) => number === 0)).toBe(true);
  }
});
