/**
 * Where a reader of `compiler` starts: a perceptron of two layers learns XOR with the compiler and the runtime alone,
 * from the description of its loss to weights that are trained. Nothing of the model, the artefacts or the trainer.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { gradients } from '../../src/compiler/autodiff/gradients.js';
import { scalarLike } from '../../src/compiler/graph/constant.js';
import { type Graph, input, type Value } from '../../src/compiler/graph/graph.js';
import { gelu, square, sub } from '../../src/compiler/graph/ops/elementwise.js';
import { gemm } from '../../src/compiler/graph/ops/linalg.js';
import { reduceMean } from '../../src/compiler/graph/ops/reduction.js';
import { lowerGraph } from '../../src/compiler/lowering/lower.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import { Runtime } from '../../src/runtime/runtime.js';

const hiddenSize = 8;
const shapes = { w1: [hiddenSize, 2], b1: [hiddenSize], w2: [1, hiddenSize], b2: [1] };
type Weights<Numbers> = Record<keyof typeof shapes, Numbers>;
const names = Object.keys(shapes) as (keyof typeof shapes)[];

/** A number for each of the weights. */
function each<T>(make: (name: keyof typeof shapes, place: number) => T): Weights<T> {
  return Object.fromEntries(names.map((name, place) => [name, make(name, place)])) as Weights<T>;
}

/** x, target and weights → loss and the gradient of each weight. */
function trainingGraph(): Graph {
  // 1. inputs: what the host gives in each run
  const x = input('x', 'float32', [4, 2]);
  const target = input('target', 'float32', [4, 1]);
  const weights = each((name) => input(name, 'float32', shapes[name]));
  const { w1, b1, w2, b2 } = weights;

  // 2. the forward pass; each function checks shapes and adds one node of ONNX
  const hidden = gelu(gemm(x, w1, { transB: true, c: b1 })); // [4, 8]
  const y = gemm(hidden, w2, { transB: true, c: b2 }); // [4, 1]
  const loss = reduceMean(square(sub(y, target)), [0, 1]); // []

  // 3. the backward pass: more nodes of the same kind; d loss / d loss = 1
  const found = gradients(loss, scalarLike(loss, 1), Object.values<Value>(weights));
  const outputs = names.map((name) => ({ name: `${name}_grad`, value: found.get(weights[name])! }));
  return {
    name: 'perceptron',
    inputs: [x, target, ...Object.values<Value>(weights)],
    outputs: [{ name: 'loss', value: loss }, ...outputs],
  };
}

const xor = { x: [0, 0, 0, 1, 1, 0, 1, 1], target: [0, 1, 1, 0] };

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

test('a perceptron learns XOR', async () => {
  // 4. lowered: GELU's gradient is an operator of ours, replaced by its definition in ONNX's operators
  const model = encodeModel(lowerGraph(trainingGraph()));
  const session = runtime.createSession(model);

  // 5. bound once: the session reads and writes these arrays in each run
  const weights = each((name, place) => firstWeights(shapes[name], place));
  const grads = each((name) => new Float32Array(weights[name].length));
  const loss = new Float32Array(1);
  const inputs = {
    x: runtime.tensor(Float32Array.from(xor.x), [4, 2]),
    target: runtime.tensor(Float32Array.from(xor.target), [4, 1]),
    ...each((name) => runtime.tensor(weights[name], shapes[name])),
  };
  const outputs = {
    loss: runtime.tensor(loss, []),
    ...Object.fromEntries(names.map((name) => [`${name}_grad`, runtime.tensor(grads[name], shapes[name])])),
  };
  const binding = session.bind(inputs, outputs);

  // the first step against the same loss written by hand, and its difference quotients
  await binding.run();
  expect(loss[0]).toBeCloseTo(hostLoss(each((name) => Float64Array.from(weights[name]))), 6);
  for (const name of names) {
    for (const [i, gradient] of grads[name].entries()) {
      const expected = differenceQuotient(weights, name, i);
      expect(Math.abs(gradient / expected - 1), `d loss / d ${name}[${i}]: ${gradient}`).toBeLessThan(1e-4);
    }
  }

  // 6. trained: gradient descent on the host, weights ← weights − rate · gradients
  const rate = 0.1;
  for (let step = 0; step < 500; step++) {
    for (const name of names) {
      for (const [i, gradient] of grads[name].entries()) weights[name][i]! -= rate * gradient;
    }
    await binding.run();
  }
  expect(loss[0]).toBeLessThan(1e-6);
  // so does the host's perceptron with the weights that came out
  expect(hostLoss(each((name) => Float64Array.from(weights[name])))).toBeLessThan(1e-6);

  // 7. released by hand: none of it is memory of JavaScript's
  session.release();
  for (const tensor of Object.values({ ...inputs, ...outputs })) tensor.release();
});

/** Fixed numbers between −1 and 1 without a pattern. */
function firstWeights(shape: readonly number[], place: number): Float32Array {
  const size = shape.reduce((a, b) => a * b);
  return Float32Array.from({ length: size }, (_, i) => Math.sin(100 * place + i * i + 1));
}

/** The loss in float64, with nothing of the compiler. */
function hostLoss({ w1, b1, w2, b2 }: Weights<Float64Array>): number {
  const errors = xor.target.map((target, row) => {
    const [a, b] = xor.x.slice(2 * row, 2 * row + 2) as [number, number];
    let y = b2[0]!;
    for (let j = 0; j < hiddenSize; j++) {
      const z = w1[2 * j]! * a + w1[2 * j + 1]! * b + b1[j]!;
      y += w2[j]! * z * normalCumulative(z);
    }
    return (y - target) ** 2;
  });
  return errors.reduce((sum, error) => sum + error) / errors.length;
}

/** Φ(z) = ½ + φ(z)·(z + z³/3 + z⁵/(3·5) + …); Marsaglia, "Evaluating the Normal Distribution", 2004. */
function normalCumulative(z: number): number {
  let sum = 0;
  let term = z;
  for (let n = 1; sum + term !== sum; n += 2) {
    sum += term;
    term *= (z * z) / (n + 2);
  }
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}

/** d loss / d weight by a central difference in float64. */
function differenceQuotient(weights: Weights<Float32Array>, name: keyof typeof shapes, i: number): number {
  const step = 1e-5;
  const moved = (by: number) => {
    const at = each((other) => Float64Array.from(weights[other]));
    at[name][i]! += by;
    return hostLoss(at);
  };
  return (moved(step) - moved(-step)) / (2 * step);
}
