/**
 * Every rule against a difference quotient: for a random projection L = Σ w∘y and a random direction v of each
 * input, dL/dv by a five-point central difference (error h⁴) of the forward graph against Σ dx∘v of the backward one.
 */
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { gradients } from '../../../src/compiler/autodiff/gradients.js';
import {
  type NotDifferentiable,
  notDifferentiable,
} from '../../../src/compiler/autodiff/not-differentiable.js';
import type { Rule } from '../../../src/compiler/autodiff/rule.js';
import { constant } from '../../../src/compiler/graph/constant.js';
import { input, type Value } from '../../../src/compiler/graph/graph.js';
import type { Op } from '../../../src/compiler/graph/op.js';
import * as elementwise from '../../../src/compiler/graph/ops/elementwise.js';
import { gemm, matMul } from '../../../src/compiler/graph/ops/linalg.js';
import * as movement from '../../../src/compiler/graph/ops/movement.js';
import { attention, layerNormalization, softmax } from '../../../src/compiler/graph/ops/normalization.js';
import {
  reduceLogSumExp,
  reduceMean,
  reduceSum,
  reduceSumSquare,
} from '../../../src/compiler/graph/ops/reduction.js';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { encodeModel } from '../../../src/compiler/onnx/encode.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import type { HostArray } from '../../../src/runtime/tensor.js';
import { type Shape, sizeOf } from '../../../src/util/shape.js';
import '../../support/allclose.js';
import { randomNormal, randomUniform } from '../../support/random.js';
import { type Arrays, graphOf, inputsOf, runSession } from '../../support/run-graph.js';

interface Case {
  readonly what: string;
  readonly shapes: readonly Shape[];
  readonly build: (x: readonly Value[]) => Value;
  /** Numbers in [0.5, 2) instead of normal ones, for log, √ and divisors. */
  readonly positive?: boolean;
  /** Why the difference is taken in float32: the step is larger and the tolerance 1e-4 instead of 1e-8. */
  readonly float32?: string;
}

const unary = (build: (x: Value) => Value): Case[] => [
  { what: 'a matrix', shapes: [[3, 5]], build: ([x]) => build(x!) },
  { what: 'a scalar', shapes: [[]], build: ([x]) => build(x!) },
];
const positive = (build: (x: Value) => Value): Case[] =>
  unary(build).map((each) => ({ ...each, positive: true }));
const binary = (build: (a: Value, b: Value) => Value): Case[] => [
  {
    what: 'equal shapes',
    shapes: [
      [2, 3],
      [2, 3],
    ],
    build: ([a, b]) => build(a!, b!),
  },
  { what: 'a repeated row', shapes: [[4, 2, 3], [3]], build: ([a, b]) => build(a!, b!) },
  {
    what: 'a repeated left side',
    shapes: [
      [1, 3],
      [2, 1, 3],
    ],
    build: ([a, b]) => build(a!, b!),
  },
  {
    what: 'both repeated',
    shapes: [
      [2, 1, 4],
      [3, 1],
    ],
    build: ([a, b]) => build(a!, b!),
  },
  { what: 'a scalar', shapes: [[2, 3], []], build: ([a, b]) => build(a!, b!) },
  { what: 'twice the same', shapes: [[2, 3]], build: ([a]) => build(a!, a!) },
];
const inFloat32 = (reason: string, cases: Case[]): Case[] =>
  cases.map((each) => ({ ...each, float32: reason }));
const ints = (shape: Shape, numbers: number[]): Value =>
  constant('int64', shape, BigInt64Array.from(numbers, BigInt));

const noErf = 'ONNX Runtime has no float64 kernel of Erf';
const noGelu = 'without a float64 kernel ONNX Runtime writes Gelu out, and its Erf has none either';
const floatStatistics = 'ONNX types Mean and InvStdDev as float32';

const cases: Readonly<Record<Exclude<Op, NotDifferentiable>, readonly Case[]>> = {
  Neg: unary(elementwise.neg),
  Exp: unary(elementwise.exp),
  Log: positive(elementwise.log),
  Sqrt: positive(elementwise.sqrt),
  Reciprocal: positive(elementwise.reciprocal),
  Erf: inFloat32(noErf, unary(elementwise.erf)),
  Gelu: inFloat32(noGelu, unary(elementwise.gelu)),
  Add: binary(elementwise.add),
  Sub: binary(elementwise.sub),
  Mul: binary(elementwise.mul),
  Div: binary(elementwise.div).map((each) => ({ ...each, positive: true })),
  Cast: [
    {
      what: 'to float32 and back',
      shapes: [[2, 3]],
      build: ([x]) => elementwise.cast(elementwise.cast(x!, 'float32'), x!.type),
      float32: 'float32 is on the way',
    },
  ],
  MatMul: [
    {
      what: 'matrices',
      shapes: [
        [3, 4],
        [4, 2],
      ],
      build: ([a, b]) => matMul(a!, b!),
    },
    {
      what: 'a batch',
      shapes: [
        [2, 3, 4, 5],
        [2, 3, 5, 2],
      ],
      build: ([a, b]) => matMul(a!, b!),
    },
    {
      what: 'a repeated matrix',
      shapes: [
        [2, 3, 4],
        [4, 2],
      ],
      build: ([a, b]) => matMul(a!, b!),
    },
    {
      what: 'both repeated',
      shapes: [
        [2, 1, 3, 4],
        [5, 4, 2],
      ],
      build: ([a, b]) => matMul(a!, b!),
    },
    { what: 'a matrix by itself', shapes: [[3, 3]], build: ([a]) => matMul(a!, a!) },
  ],
  Gemm: [
    ...[false, true].flatMap((transA) =>
      [false, true].flatMap((transB) =>
        [[3, 2], [2], [3, 1], []].map((c) => ({
          what: `transA ${transA}, transB ${transB}, c [${c}]`,
          shapes: [transA ? [4, 3] : [3, 4], transB ? [2, 4] : [4, 2], c],
          build: (x: readonly Value[]) => gemm(x[0]!, x[1]!, { transA, transB, alpha: 0.7, c: x[2]! }),
        })),
      ),
    ),
    {
      what: 'a weight used twice: the second gradient takes the first as its C',
      shapes: [
        [3, 4],
        [4, 4],
      ],
      build: ([x, w]) => gemm(gemm(x!, w!, { transB: true }), w!, { transB: true }),
    },
    {
      what: 'a running product: x also a c of its own product',
      shapes: [
        [3, 3],
        [3, 3],
      ],
      build: ([x, w]) => gemm(x!, w!, { alpha: -2, c: x! }),
    },
  ],
  Reshape: [
    { what: 'to other axes', shapes: [[2, 3, 4]], build: ([x]) => movement.reshape(x!, [4, 6]) },
    { what: 'to a scalar', shapes: [[1, 1]], build: ([x]) => movement.reshape(x!, []) },
  ],
  Transpose: [
    { what: 'a matrix', shapes: [[3, 4]], build: ([x]) => movement.transpose(x!, [1, 0]) },
    { what: 'a cycle of axes', shapes: [[2, 3, 4, 5]], build: ([x]) => movement.transpose(x!, [2, 0, 3, 1]) },
  ],
  Slice: [
    { what: 'the middle', shapes: [[2, 7, 3]], build: ([x]) => movement.slice(x!, 1, 2, 5) },
    { what: 'the end', shapes: [[4, 3]], build: ([x]) => movement.slice(x!, -1, 2, 3) },
    { what: 'parts that overlap', shapes: [[5]], build: overlappingParts },
  ],
  Concat: [
    {
      what: 'three',
      shapes: [
        [2, 1, 3],
        [2, 4, 3],
        [2, 2, 3],
      ],
      build: (x) => movement.concat(x, 1),
    },
    { what: 'twice the same', shapes: [[2, 3]], build: ([x]) => movement.concat([x!, x!], 0) },
  ],
  Split: [
    {
      what: 'all parts',
      shapes: [[2, 9]],
      build: ([x]) => joined(movement.split(x!, [2, 3, 4], 1), [2, 0, 1]),
    },
    {
      what: 'the first part unused',
      shapes: [[9, 2]],
      build: ([x]) => joined(movement.split(x!, [2, 3, 4], 0), [2, 1]),
    },
    {
      what: 'one of several equal parts used',
      shapes: [[2, 9]],
      build: ([x]) => joined(movement.split(x!, [3, 3, 3], 1), [1]),
    },
    {
      what: 'the last parts unused',
      shapes: [[9, 2]],
      build: ([x]) => joined(movement.split(x!, [2, 3, 4], 0), [0]),
    },
    {
      what: 'a part used twice',
      shapes: [[4]],
      build: ([x]) => joined(movement.split(x!, [1, 3], 0), [1, 0, 1]),
    },
  ],
  Gather: [
    {
      what: 'repeated and missing rows',
      shapes: [[5, 3]],
      build: ([x]) => movement.gather(x!, ints([2, 3], [4, 0, 4, 1, 4, 0])),
    },
    {
      what: 'rows of rows',
      shapes: [[3, 2, 2]],
      build: ([x]) => movement.gather(x!, ints([4], [2, 2, 0, 2])),
    },
  ],
  Expand: [
    { what: 'an axis', shapes: [[2, 1, 3]], build: ([x]) => movement.expand(x!, [2, 4, 3]) },
    { what: 'new axes', shapes: [[3, 1]], build: ([x]) => movement.expand(x!, [2, 3, 4]) },
    { what: 'a scalar', shapes: [[]], build: ([x]) => movement.expand(x!, [2, 3]) },
  ],
  Pad: [
    { what: 'both sides', shapes: [[2, 3]], build: ([x]) => movement.pad(x!, 1, 2, 1) },
    { what: 'the front axis', shapes: [[2, 3]], build: ([x]) => movement.pad(x!, 0, 0, 2) },
  ],
  ReduceSum: reductions(reduceSum),
  ReduceMean: reductions(reduceMean),
  ReduceSumSquare: reductions(reduceSumSquare),
  ReduceLogSumExp: reductions(reduceLogSumExp),
  Softmax: [
    { what: 'a matrix', shapes: [[3, 5]], build: ([x]) => softmax(x!) },
    { what: 'four axes', shapes: [[2, 1, 3, 4]], build: ([x]) => softmax(x!) },
  ],
  LayerNormalization: inFloat32(floatStatistics, [
    {
      what: 'tokens',
      shapes: [[2, 3, 8], [8], [8]],
      build: ([x, s, b]) => layerNormalization(x!, s!, b!, 1e-6),
    },
    {
      what: 'a large epsilon',
      shapes: [[4, 5], [5], [5]],
      build: ([x, s, b]) => layerNormalization(x!, s!, b!, 0.5),
    },
  ]),
  // powers of two: ONNX Runtime fuses the scale into a product as a float32
  Attention: [
    { what: 'itself', shapes: [[2, 4, 3, 2, 5]], build: ([qkv]) => attention(qkv!, 0.25) },
    { what: 'one token', shapes: [[2, 1, 3, 2, 3]], build: ([qkv]) => attention(qkv!, 0.5) },
  ],
};

function reductions(reduce: (x: Value, axes: readonly number[], keepdims?: boolean) => Value): Case[] {
  return [
    { what: 'the last axis, kept', shapes: [[2, 3, 4]], build: ([x]) => reduce(x!, [-1], true) },
    { what: 'a middle axis', shapes: [[2, 3, 4]], build: ([x]) => reduce(x!, [1]) },
    { what: 'two axes', shapes: [[2, 3, 4]], build: ([x]) => reduce(x!, [0, 2]) },
    { what: 'every axis', shapes: [[2, 3]], build: ([x]) => reduce(x!, [0, 1]) },
  ];
}

function overlappingParts([x]: readonly Value[]): Value {
  return elementwise.mul(movement.slice(x!, 0, 0, 3), movement.slice(x!, 0, 1, 4));
}

/** Some parts of a split, flat, one after the other. */
function joined(parts: readonly Value[], order: readonly number[]): Value {
  return movement.concat(
    order.map((i) => movement.reshape(parts[i]!, [sizeOf(parts[i]!.shape)])),
    0,
  );
}

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

/** Every rule of every file of `autodiff/rules`. */
async function ruleTable(): Promise<Map<string, Rule>> {
  const folder = new URL('../../../src/compiler/autodiff/rules/', import.meta.url);
  const table = new Map<string, Rule>();
  for (const file of readdirSync(folder)) {
    const module = (await import(new URL(file, folder).href)) as Record<string, Record<string, Rule>>;
    for (const [name, rules] of Object.entries(module)) {
      if (!name.endsWith('Rules')) throw new Error(`${file}: expected tables of rules, got ${name}`);
      for (const [op, rule] of Object.entries(rules)) table.set(op, rule);
    }
  }
  return table;
}

test('every rule of the table has a case here, and no other operator', async () => {
  const table = await ruleTable();
  expect(Object.keys(cases).sort()).toEqual([...table.keys()].sort());
  expect([...table.keys()].filter((op) => op in notDifferentiable)).toEqual([]);
});

describe.each(Object.entries(cases))('%s', (op, list) => {
  test.each(list.map((each, index) => [each.what, each, index] as const))('%s', async (_, each, index) => {
    await checkGradients(each, 1000 + index, op);
  });
});

async function checkGradients(
  { shapes, build, positive, float32 }: Case,
  seed: number,
  op: string,
): Promise<void> {
  const type = float32 === undefined ? 'float64' : 'float32';
  const x = inputsOf(type, shapes);
  const y = build(x);
  const dy = input('dy', type, y.shape);
  const found = gradients(y, dy, x);
  const forward = graphOf(x, { y });
  const backward = graphOf(
    [...x, dy],
    Object.fromEntries(x.map((value, i) => [`dx${i}`, found.get(value)!])),
  );

  const array = (numbers: Float64Array): HostArray =>
    type === 'float64' ? numbers : Float32Array.from(numbers);
  const at = shapes.map((shape, i) =>
    positive ? randomUniform(seed, shape, 0.5, 2, i) : randomNormal(seed, shape, i),
  );
  const projection = randomNormal(seed, y.shape, 100);
  const arrays = (points: readonly Float64Array[]): Arrays =>
    Object.fromEntries(points.map((numbers, i) => [`x${i}`, array(numbers)]));

  const session = runtime.createSession(encodeModel(expandDefinitions(forward)));
  const projected = async (points: readonly Float64Array[]): Promise<number> => {
    const outputs = await runSession(runtime, session, forward, arrays(points));
    return dot(projection, outputs['y'] as Float64Array);
  };
  const gradientSession = runtime.createSession(encodeModel(expandDefinitions(backward)));
  try {
    const inputs = { ...arrays(at), dy: array(projection) };
    const dxs = await runSession(runtime, gradientSession, backward, inputs);
    for (const [i, shape] of shapes.entries()) {
      const direction = randomNormal(seed, shape, 200 + i);
      const step = float32 === undefined ? 1e-3 : 1 / 16;
      const moved = (factor: number) =>
        projected(
          at.with(
            i,
            at[i]!.map((number, k) => number + factor * step * direction[k]!),
          ),
        );
      const difference =
        (8 * ((await moved(1)) - (await moved(-1))) - ((await moved(2)) - (await moved(-2)))) / (12 * step);
      const dx = dxs[`dx${i}`] as Float64Array;
      const tolerance = float32 === undefined ? 1e-8 : 1e-4;
      expect([dot(dx, direction)], `${op}: the gradient of input ${i}`).toBeAllclose([difference], {
        rtol: tolerance,
        atol: tolerance,
      });
    }
  } finally {
    session.release();
    gradientSession.release();
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
