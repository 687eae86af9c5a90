import { afterAll, beforeAll, expect, test } from 'vitest';
import { input, type Value } from '../../src/compiler/graph/graph.js';
import { linear, selfAttention } from '../../src/model/layers.js';
import { Runtime } from '../../src/runtime/runtime.js';
import type { Shape } from '../../src/util/shape.js';
import '../support/allclose.js';
import { randomNormal } from '../support/random.js';
import { graphOf, runGraph } from '../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

/** y[r] = W·x[r] + b for each row. */
function linearByHand(x: Float64Array, weight: Float64Array, bias: Float64Array): Float64Array {
  const [outputs, inputs] = [bias.length, weight.length / bias.length];
  return Float64Array.from({ length: (x.length / inputs) * outputs }, (_, place) => {
    const [row, output] = [Math.floor(place / outputs), place % outputs];
    let sum = bias[output]!;
    for (let i = 0; i < inputs; i++) sum += x[row * inputs + i]! * weight[output * inputs + i]!;
    return sum;
  });
}

const [batch, tokens, width, heads] = [2, 3, 8, 2];
const shapes: Record<string, Shape> = {
  x: [batch, tokens, width],
  'a.qkv.weight': [3 * width, width],
  'a.qkv.bias': [3 * width],
  'a.proj.weight': [width, width],
  'a.proj.bias': [width],
};
const values = new Map(Object.entries(shapes).map(([name, shape]) => [name, input(name, 'float64', shape)]));
const arrays = Object.fromEntries(
  Object.entries(shapes).map(([name, shape], i) => [name, randomNormal(3, shape, i)]),
);
const p = (name: string): Value => values.get(name)!;
const tight = { rtol: 1e-12, atol: 1e-12 };

test('linear is x·Wᵀ + b over the last axis, the other axes kept', async () => {
  const y = linear(p('x'), p, 'a.qkv');
  expect(y.shape).toEqual([batch, tokens, 3 * width]);
  const inputs = ['x', 'a.qkv.weight', 'a.qkv.bias'].map(p);
  const results = await runGraph(runtime, graphOf(inputs, { y }), arrays);
  expect(results['y']).toBeAllclose(
    linearByHand(arrays['x']!, arrays['a.qkv.weight']!, arrays['a.qkv.bias']!),
    tight,
  );
});

test('self-attention: each head attends with its own slice of q, k and v', async () => {
  const y = selfAttention(p('x'), p, 'a', heads);
  const results = await runGraph(runtime, graphOf([...values.values()], { y }), arrays);

  const headWidth = width / heads;
  const qkv = linearByHand(arrays['x']!, arrays['a.qkv.weight']!, arrays['a.qkv.bias']!);
  // part 0 is q, 1 is k, 2 is v: columns [part·width + head·headWidth, …)
  const at = (b: number, token: number, part: number, head: number, i: number): number =>
    qkv[(b * tokens + token) * 3 * width + part * width + head * headWidth + i]!;
  const mixed = new Float64Array(batch * tokens * width);
  for (let b = 0; b < batch; b++) {
    for (let head = 0; head < heads; head++) {
      for (let query = 0; query < tokens; query++) {
        const weights = Array.from({ length: tokens }, (_, key) => {
          let score = 0;
          for (let i = 0; i < headWidth; i++) score += at(b, query, 0, head, i) * at(b, key, 1, head, i);
          return Math.exp(score / Math.sqrt(headWidth));
        });
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (let i = 0; i < headWidth; i++) {
          mixed[(b * tokens + query) * width + head * headWidth + i] = weights.reduce(
            (sum, weight, key) => sum + (weight / total) * at(b, key, 2, head, i),
            0,
          );
        }
      }
    }
  }
  expect(results['y']).toBeAllclose(
    linearByHand(mixed, arrays['a.proj.weight']!, arrays['a.proj.bias']!),
    tight,
  );
});
