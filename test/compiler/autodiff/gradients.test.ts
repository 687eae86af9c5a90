import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradients } from '../../../src/compiler/autodiff/gradients.js';
import { notDifferentiable } from '../../../src/compiler/autodiff/not-differentiable.js';
import { constant } from '../../../src/compiler/graph/constant.js';
import { createNode, type Graph, input, producerOf, type Value } from '../../../src/compiler/graph/graph.js';
import type { Op } from '../../../src/compiler/graph/op.js';
import { add, cast, mul, scale } from '../../../src/compiler/graph/ops/elementwise.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { scatterAdd } from '../../../src/compiler/graph/ops/movement.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import '../../support/allclose.js';
import { randomNormal } from '../../support/random.js';
import { graphOf, inputName, runGraph } from '../../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const x = input('x', 'float32', [2, 3]);
const w = input('w', 'float32', [3, 3]);
const b = input('b', 'float32', [3]);
const dy = input('dy', 'float32', [2, 3]);
const linear = (rows: Value): Value => gemm(rows, w, { transB: true, c: b });

/** A printed graph of gradients alone. */
function printed(inputs: readonly Value[], outputs: Record<string, Value>): string {
  const graph: Graph = {
    name: 'gradients',
    inputs,
    outputs: Object.entries(outputs).map(([name, value]) => ({ name, value })),
  };
  return printGraph(graph);
}

describe('the walk', () => {
  test('visits only what leads to a parameter: no gradient of x, and each in the order it is made', () => {
    const w0 = input('w0', 'float32', [3, 3]);
    const found = gradients(linear(linear(gemm(x, w0))), dy, [w0, b, w]);
    expect([...found.keys()].map(inputName)).toEqual(['w', 'b', 'w0']);
    const [dw, db, dw0] = found.values();
    // no Gemm for dx of the first layer; the second dw takes the first as its C
    expect(printed([x, w0, w, b, dy], { dw: dw!, db: db!, dw0: dw0! })).toMatchInlineSnapshot(`
      "gradients(
        x: float32[2, 3]
        w0: float32[3, 3]
        w: float32[3, 3]
        b: float32[3]
        dy: float32[2, 3]
      ) {
        Gemm_0: float32[2, 3] = Gemm(x, w0, transA=0, transB=0, alpha=1)
        Gemm_1: float32[2, 3] = Gemm(Gemm_0, w, b, transA=0, transB=1, alpha=1)
        Gemm_2: float32[2, 3] = Gemm(dy, w, transA=0, transB=0, alpha=1)
        Gemm_3: float32[3, 3] = Gemm(dy, Gemm_1, transA=1, transB=0, alpha=1)
        ReduceSum_4: float32[3] = ReduceSum(dy, [0], keepdims=0)
        Gemm_5: float32[2, 3] = Gemm(Gemm_2, w, transA=0, transB=0, alpha=1)
        dw: float32[3, 3] = Gemm(Gemm_2, Gemm_0, Gemm_3, transA=1, transB=0, alpha=1)
        ReduceSum_6: float32[3] = ReduceSum(Gemm_2, [0], keepdims=0)
        db: float32[3] = Add(ReduceSum_4, ReduceSum_6)
        dw0: float32[3, 3] = Gemm(x, Gemm_5, transA=1, transB=0, alpha=1)
        return dw, db, dw0
      }"
    `);
  });

  test('leaves out parameters that y does not depend on', () => {
    const unused = input('unused', 'float32', [3]);
    expect([...gradients(linear(x), dy, [unused, b]).keys()].map(inputName)).toEqual(['b']);
  });

  test('gives parameters their gradient though another use of them carries none', async () => {
    // y = x·(whole part of x): the whole part is constant almost everywhere
    const whole = cast(cast(x, 'int64'), 'float32');
    const dx = gradients(mul(x, whole), dy, [x]).get(x);
    const graph = graphOf([x, dy], { dx: dx! });
    const inputs = { x: Float32Array.of(1.5, 2.5, -3.5, 0.5, 9, 7), dy: Float32Array.of(1, 2, 3, 4, 5, 6) };
    expect((await runGraph(runtime, graph, inputs))['dx']).toEqual(Float32Array.of(1, 4, -9, 0, 45, 42));
  });

  test('gives y the gradient dy where y is itself a parameter', () => {
    expect(gradients(x, dy, [x]).get(x)).toBe(dy);
  });

  test('gives values inside the graph their gradient as well', async () => {
    const hidden = scale(x, 3);
    const y = add(mul(hidden, hidden), hidden);
    const found = gradients(y, dy, [hidden, x]);
    const graph = graphOf([x, dy], { dhidden: found.get(hidden)!, dx: found.get(x)! });
    const inputs = { x: Float32Array.of(1, 2, 3, 4, 5, 6), dy: new Float32Array(6).fill(1) };
    const { dhidden, dx } = await runGraph(runtime, graph, inputs);
    // d(h² + h) = 2h + 1, h = 3x
    expect(dhidden).toEqual(Float32Array.of(7, 13, 19, 25, 31, 37));
    expect(dx).toEqual(Float32Array.of(21, 39, 57, 75, 93, 111));
  });

  test('sums over axes that broadcasting repeated', () => {
    const row = input('row', 'float32', [1, 3]);
    const found = gradients(mul(x, row), dy, [row]);
    expect(printed([x, row, dy], { drow: found.get(row)! })).toMatchInlineSnapshot(`
      "gradients(
        x: float32[2, 3]
        row: float32[1, 3]
        dy: float32[2, 3]
      ) {
        Mul_0: float32[2, 3] = Mul(x, dy)
        ReduceSum_1: float32[3] = ReduceSum(Mul_0, [0], keepdims=0)
        drow: float32[1, 3] = Reshape(ReduceSum_1, [-1, 3])
        return drow
      }"
    `);
  });
});

describe('running gradients', () => {
  const running = new Map([
    [w, input('dw_running', 'float32', w.shape)],
    [b, input('db_running', 'float32', b.shape)],
  ]);

  test('enter as the C of the last Gemm, at the cost of no node', () => {
    const found = gradients(linear(x), dy, [w, b], running);
    expect(
      printed([x, w, b, dy, ...running.values()], { dw: found.get(w)!, db: found.get(b)! }),
    ).toMatchInlineSnapshot(`
      "gradients(
        x: float32[2, 3]
        w: float32[3, 3]
        b: float32[3]
        dy: float32[2, 3]
        dw_running: float32[3, 3]
        db_running: float32[3]
      ) {
        dw: float32[3, 3] = Gemm(dy, x, dw_running, transA=1, transB=0, alpha=1)
        ReduceSum_0: float32[3] = ReduceSum(dy, [0], keepdims=0)
        db: float32[3] = Add(db_running, ReduceSum_0)
        return dw, db
      }"
    `);
  });

  test('are added once to gradients of one and of several uses', async () => {
    for (const y of [linear(x), linear(linear(x))]) {
      const once = gradients(y, dy, [w, b]);
      const more = gradients(y, dy, [w, b], running);
      const graph = graphOf([x, w, b, dy, ...running.values()], {
        dw: once.get(w)!,
        db: once.get(b)!,
        dw_total: more.get(w)!,
        db_total: more.get(b)!,
      });
      const array = (shape: readonly number[], place: number) =>
        Float32Array.from(randomNormal(7, shape, place));
      const inputs = {
        x: array([2, 3], 0),
        w: array([3, 3], 1),
        b: array([3], 2),
        dy: array([2, 3], 3),
        dw_running: array([3, 3], 4),
        db_running: array([3], 5),
      };
      const results = await runGraph(runtime, graph, inputs);
      for (const [sum, part, start] of [
        [results['dw_total']!, results['dw']!, inputs.dw_running],
        [results['db_total']!, results['db']!, inputs.db_running],
      ] as const) {
        expect(sum).toBeAllclose(
          part.map((number, i) => number + start[i]!),
          { rtol: 1e-6, atol: 1e-6 },
        );
      }
    }
  });
});

test('a Gemm result that others read as well is computed once', () => {
  // the product's gradient, a Gemm, goes to h and k alike, and h has one already
  const [h, k] = [input('h', 'float32', [2, 3]), input('k', 'float32', [2, 3])];
  const found = gradients(add(gemm(add(h, k), w), h), dy, [h, k]);
  expect(printed([h, k, w, dy], { dh: found.get(h)!, dk: found.get(k)! })).toMatchInlineSnapshot(`
    "gradients(
      h: float32[2, 3]
      k: float32[2, 3]
      w: float32[3, 3]
      dy: float32[2, 3]
    ) {
      dk: float32[2, 3] = Gemm(dy, w, transA=0, transB=1, alpha=1)
      dh: float32[2, 3] = Add(dy, dk)
      return dh, dk
    }"
  `);
});

describe('errors', () => {
  test.each(Object.entries(notDifferentiable))('%s is not differentiable: %s', (op, reason) => {
    const y = createNode(op as Op, [x], {}, [x])[0]!;
    expect(() => gradients(add(y, y), dy, [x])).toThrow(
      `got ${op}(x: float32[2, 3]): float32[2, 3]; ${op} is not differentiable: ${reason}`,
    );
    // none of x's gradient goes through it
    expect(() => gradients(add(x, createNode(op as Op, [b], {}, [x])[0]!), dy, [x])).not.toThrow();
  });

  test('of an operator without a derivative show where it stands', () => {
    const ids = constant('int64', [2], BigInt64Array.of(1n, 1n));
    const sums = scatterAdd([3, 3], ids, scale(x, 2));
    expect(() =>
      gradients(linear(sums), input('dy', 'float32', [3, 3]), [x]),
    ).toThrowErrorMatchingInlineSnapshot(
      `[TypeError: gradients: expected differentiable operators between y and the parameters, got ScatterND(Expand: float32[3, 3], Reshape: int64[2, 1], Mul: float32[2, 3], reduction=add): float32[3, 3]; ScatterND is not differentiable: it is the derivative of Gather: first derivatives only]`,
    );
  });

  test.each([
    // −x of two inputs, a + b of one: nodes that no builder makes
    ['too few', createNode('Neg', [x, b], {}, [x])[0]!, 'expected 2 gradients', 'got 1'],
    ['too many', createNode('Add', [x], {}, [x])[0]!, 'expected 1 gradients', 'got 2'],
  ])('%s gradients of a rule are an error, not zeros', (_, y, expected, got) => {
    const { op } = producerOf(y)!;
    const find = () => gradients(y, dy, [x, b]);
    expect(find).toThrow(`${expected} for the inputs of ${op}(x: float32[2, 3]`);
    expect(find).toThrow(`${got}; the rule of ${op}`);
  });
});
