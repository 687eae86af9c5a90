/**
 * Training graphs in float16 and bfloat16: which operator computes in what, how many casts that takes, and how far the
 * numbers are from float32's.
 *
 * ONNX Runtime's CPU provider has no kernels for bfloat16 beside casts and what moves numbers, and for float16 it puts
 * casts to float32 around operators and drops those that meet: it rounds less often than the graph says. So both are
 * run here as a tensor core does it: each operator in float32, its result rounded.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createNode,
  type Graph,
  type HalfType,
  input,
  isHalf,
  type Node,
  nodesOf,
  producerOf,
  type Value,
} from '../../../src/compiler/graph/graph.js';
import { cast, gelu } from '../../../src/compiler/graph/ops/elementwise.js';
import { attentionGrad, geluGrad } from '../../../src/compiler/graph/ops/gradient.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { slice } from '../../../src/compiler/graph/ops/movement.js';
import { attention, layerNormalization } from '../../../src/compiler/graph/ops/normalization.js';
import { reduceSum } from '../../../src/compiler/graph/ops/reduction.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { definitions } from '../../../src/compiler/lowering/definitions.js';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { dropRoundTrips, mixedPrecision } from '../../../src/compiler/lowering/mixed-precision.js';
import { rewrite } from '../../../src/compiler/lowering/rewrite.js';
import { encodeModel } from '../../../src/compiler/onnx/encode.js';
import { loadModelConfig } from '../../../src/model/presets.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { bfloat16ToFloat32, float16ToFloat32 } from '../../../src/util/half.js';
import { type Shape, sizeOf } from '../../../src/util/shape.js';
import { gradientNorm, trainingGraph } from '../../support/mae-graphs.js';
import '../../support/allclose.js';
import { relativeError } from '../../support/allclose.js';
import { readMaeGolden } from '../../support/mae-golden.js';
import { randomNormal } from '../../support/random.js';
import { type Arrays, graphOf, runGraph } from '../../support/run-graph.js';
import { smallModel } from '../../support/small-model.js';

const halves = ['float16', 'bfloat16'] as const satisfies HalfType[];

const lower = (graph: Graph, half: HalfType): Graph =>
  dropRoundTrips(expandDefinitions(mixedPrecision(graph, half)));
const nodes = (graph: Graph): Node[] => nodesOf(graph.outputs.map(({ value }) => value));

/** What a value is, behind reshapes. */
function origin(value: Value): Value {
  let at = value;
  for (let node = producerOf(at); node?.op === 'Reshape'; node = producerOf(at)) at = node.inputs[0]!;
  return at;
}

test('a layer as printed: weights are cast, the norm and what leaves the graph are float32', () => {
  const x = input('x', 'float32', [2, 4]);
  const [weight, bias] = [input('weight', 'float32', [3, 4]), input('bias', 'float32', [3])];
  const [gamma, beta] = [input('gamma', 'float32', [4]), input('beta', 'float32', [4])];
  const normalized = layerNormalization(x, gamma, beta, 1e-6);
  const value = gelu(gemm(normalized, weight, { transB: true, c: bias }));
  const graph: Graph = { name: 'g', inputs: [x, gamma, beta, weight, bias], outputs: [{ name: 'y', value }] };
  expect(printGraph(lower(graph, 'float16'))).toMatchInlineSnapshot(`
    "g(
      x: float32[2, 4]
      gamma: float32[4]
      beta: float32[4]
      weight: float32[3, 4]
      bias: float32[3]
    ) {
      LayerNormalization_0: float32[2, 4], LayerNormalization_1: float32[2, 1], LayerNormalization_2: float32[2, 1] = LayerNormalization(x, gamma, beta, axis=-1, epsilon=0.000001)
      Cast_3: float16[2, 4] = Cast(LayerNormalization_0, to=float16)
      Cast_4: float16[3, 4] = Cast(weight, to=float16)
      Cast_5: float16[3] = Cast(bias, to=float16)
      Gemm_6: float16[2, 3] = Gemm(Cast_3, Cast_4, Cast_5, transA=0, transB=1, alpha=1)
      Gelu_7: float16[2, 3] = Gelu(Gemm_6)
      y: float32[2, 3] = Cast(Gelu_7, to=float32)
      return y
    }"
  `);
});

const kept = 4;
const small = (accumulate: boolean) => trainingGraph(smallModel, 2, { kept, normPixLoss: true, accumulate });

describe.each(halves)('%s', (half) => {
  const graph = lower(small(true), half);

  test('products and what lies between them compute in it, all else in float32', () => {
    const inHalf = new Set<string>();
    for (const { op, inputs, outputs } of nodes(graph)) {
      // the means of a layer norm's gradient, products with a column, are no products of the model
      if (op === 'MatMul' && outputs[0]!.shape.at(-1) === 1) {
        expect(outputs[0]!.type).toBe('float32');
        continue;
      }
      const types = [...inputs, ...outputs].flatMap((value) => (value === null ? [] : [value.type]));
      if (op !== 'Cast' && types.some(isHalf)) {
        inHalf.add(op);
        expect(types.filter((type) => type !== 'int64').every(isHalf), op).toBe(true);
      }
      if (op === 'MatMul' || op === 'Gemm') expect(types.every(isHalf), op).toBe(true);
    }
    // the slope of GELU too
    const slope = ['Add', 'Erf', 'Exp', 'HardSigmoid', 'Mul', 'Sub'];
    const moved = ['Concat', 'Expand', 'Reshape', 'Slice', 'Split', 'Transpose'];
    const others = ['Gelu', 'Gemm', 'MatMul', 'Softmax'];
    expect([...inHalf].sort()).toEqual([...slope, ...moved, ...others].sort());
    // what bfloat16's 8 bits would not do for: it multiplies, and adds scalars that make what follows wait
    const bfloat16 = nodes(graph).filter(({ outputs: [y] }) => y!.type === 'bfloat16');
    const added = bfloat16.filter(({ op }) => ['Add', 'Sub', 'Erf', 'Exp', 'HardSigmoid'].includes(op));
    expect(new Set(added.map(({ outputs: [y] }) => sizeOf(y!.shape)))).toEqual(
      new Set(half === 'bfloat16' ? [1] : []),
    );
  });

  test('inputs and outputs are those of the float32 graph', () => {
    const plain = small(true);
    expect(graph.inputs).toEqual(plain.inputs);
    const describe = ({ outputs }: Graph) =>
      outputs.map(({ name, value }) => [name, value.type, value.shape]);
    expect(describe(graph)).toEqual(describe(plain));
  });

  test('a value is cast once, and never back to what it was', () => {
    const seen = new Map<Value, Set<string>>();
    for (const { op, inputs, outputs } of nodes(graph)) {
      if (op !== 'Cast') continue;
      const source = origin(inputs[0]!);
      const types = seen.get(source) ?? new Set();
      seen.set(source, types);
      expect(types.has(outputs[0]!.type), 'cast twice').toBe(false);
      types.add(outputs[0]!.type);
      const before = producerOf(source);
      if (before?.op === 'Cast') expect(before.inputs[0]!.type).not.toBe(outputs[0]!.type);
    }
  });

  test('without products nothing changes', () => {
    const x = input('x', 'float32', [2, 4]);
    const value = gelu(x);
    const alone: Graph = { name: 'g', inputs: [x], outputs: [{ name: 'y', value }] };
    expect(printGraph(lower(alone, half))).toBe(printGraph(alone));
  });
});

/** Casts of a training graph by what they are of. */
function countCasts(graph: Graph) {
  const results = new Set(graph.outputs.map(({ value }) => value));
  const counts = { pixels: 0, weights: 0, biases: 0, gradients: 0, toHalf: 0, toFloat32: 0 };
  for (const { op, inputs, outputs } of nodes(graph)) {
    if (op !== 'Cast') continue;
    const source = origin(inputs[0]!);
    if (source.type === 'uint8') counts.pixels++;
    else if (source.source.kind === 'input') counts[source.shape.length === 1 ? 'biases' : 'weights']++;
    else if (results.has(outputs[0]!)) counts.gradients++;
    else counts[isHalf(outputs[0]!.type) ? 'toHalf' : 'toFloat32']++;
  }
  return counts;
}

test('casts of ViT-B’s training graph by kind', () => {
  const config = loadModelConfig('mae_vit_base_patch16');
  const graph = lower(
    trainingGraph(config, 2, { kept: 49, normPixLoss: true, accumulate: false }),
    'bfloat16',
  );
  const counts = countCasts(graph);
  const blocks = config.depth + config.decoderDepth;
  const all = nodes(graph).filter(({ op }) => op === 'Cast').length;
  console.log(`casts of ViT-B's training graph, ${blocks} blocks: ${all}, ${JSON.stringify(counts)}`);
  const products = 4 * blocks + 3; // qkv, proj, fc1, fc2; patch_embed, decoder_embed, decoder_pred
  expect(counts).toMatchObject({ pixels: 2, weights: products, biases: products, gradients: products });
  // in a block, to half: two norms; dy twice, x and the slope of GELU, two norms again, the row sums of attention in
  // two parts. To float32: two residuals; two inputs of norms' gradients, dy and y of attention, sums
  // for the biases of qkv and fc1.
  // Beside them: inputs, outputs and their gradients, and a Pad, which is float32, in the last block of the decoder.
  expect(counts.toHalf).toBeLessThanOrEqual(10 * blocks + 9);
  expect(counts.toFloat32).toBeLessThanOrEqual(8 * blocks + 8);
});

const randomFloats = (seed: number, shape: Shape) => Float32Array.from(randomNormal(seed, shape));

/** The graph with every operator in float32 and its results rounded; see above. */
function rounded(graph: Graph): Graph {
  const keepsNumbers = ['Cast', 'Reshape', 'Transpose', 'Slice', 'Concat', 'Split'];
  const widen = (value: Value): Value => {
    if (!isHalf(value.type)) return value;
    if (value.source.kind !== 'constant') return cast(value, 'float32');
    const decode = value.type === 'float16' ? float16ToFloat32 : bfloat16ToFloat32;
    const data = decode(value.source.data as Uint16Array);
    return { type: 'float32', shape: value.shape, source: { kind: 'constant', data } };
  };
  return rewrite(graph, ({ op, attributes, outputs }, inputs) => {
    if (keepsNumbers.includes(op) || ![...inputs, ...outputs].some((value) => value && isHalf(value.type)))
      return undefined;
    const wide = outputs.map(({ type, shape }) => ({
      type: isHalf(type) ? ('float32' as const) : type,
      shape,
    }));
    const made = createNode(
      op,
      inputs.map((value) => value && widen(value)),
      attributes,
      wide,
    );
    return made.map((value, index) => cast(value, outputs[index]!.type));
  });
}

describe('on the CPU', () => {
  const golden = readMaeGolden('mae-small');
  const plain = trainingGraph(golden.config, golden.batch, {
    kept: golden.kept,
    normPixLoss: golden.normPixLoss,
    accumulate: false,
  });
  const arrays = (scale: number): Arrays => ({
    ...golden.inputs,
    images: golden.images,
    loss_scale: Float32Array.of(scale),
  });
  let runtime: Runtime;
  let expected: Arrays<Float32Array>;
  beforeAll(async () => {
    runtime = new Runtime({ threads: 1 });
    expected = await runGraph(runtime, plain, arrays(1));
  });
  afterAll(() => runtime.release());

  const norm = (numbers: readonly number[]) => Math.sqrt(numbers.reduce((sum, x) => sum + x ** 2, 0));

  /** The loss, all gradients together and the worst of them, the scale divided out. */
  async function compare(graph: Graph, scale: number) {
    const results = await runGraph(runtime, graph, arrays(scale));
    const names = Object.keys(expected).filter((name) => name.endsWith('_grad'));
    const all = (from: Arrays<Float32Array>, by: number) =>
      names.flatMap((name) => Array.from(from[name]!, (x) => x / by));
    const worst = names
      .filter((name) => !name.includes('qkv.bias')) // the keys' part is zero but for rounding
      .map((name) =>
        relativeError(
          Array.from(results[name]!, (x) => x / scale),
          expected[name]!,
        ),
      );
    return {
      loss: Math.abs(results['loss']![0]! / expected['loss']![0]! - 1),
      norm: Math.abs(norm(all(results, scale)) / norm(all(expected, 1)) - 1),
      gradients: relativeError(all(results, scale), all(expected, 1)),
      worst: Math.max(...worst),
    };
  }

  // One rounding is 2⁻¹¹ (float16) or 2⁻⁸ (bfloat16) of a number at most, and some ten lie between a weight and the
  // loss; they are independent, and the loss and norms average over many.
  test.each([
    ['float16', 1, 2 ** -11],
    ['float16', 2 ** 16, 2 ** -11],
    ['bfloat16', 1, 2 ** -8],
  ] as const)('%s, loss scale %s: within a few roundings of float32', async (half, scale, epsilon) => {
    const errors = await compare(rounded(lower(plain, half)), scale);
    console.log(`${half}, loss scale ${scale}: ${JSON.stringify(errors)}`);
    expect(errors.loss).toBeLessThan(epsilon);
    expect(errors.norm).toBeLessThan(epsilon);
    expect(errors.gradients).toBeLessThan(3 * epsilon);
    expect(errors.worst).toBeLessThan(6 * epsilon);
    expect(errors.gradients, 'something was rounded').toBeGreaterThan(epsilon / 10);
  });

  test.each([7, 33, 37, 64, 96])(
    'the sum of %s rows of a product: in float32, and none of them cast',
    async (rows) => {
      const [a, b] = [input('a', 'float32', [rows, 8]), input('b', 'float32', [8, 6])];
      const graph = graphOf([a, b], { sum: reduceSum(gemm(a, b), [0]) });
      const lowered = lower(graph, 'bfloat16');
      const widened = nodes(lowered).filter(({ op, outputs: [y] }) => op === 'Cast' && y!.type === 'float32');
      for (const {
        outputs: [y],
      } of widened)
        expect(sizeOf(y!.shape)).toBeLessThanOrEqual((rows / Math.min(rows, 32)) * 6);
      const arrays = { a: randomFloats(1, a.shape), b: randomFloats(2, b.shape) };
      const [got, wanted] = [
        await runGraph(runtime, rounded(lowered), arrays),
        await runGraph(runtime, graph, arrays),
      ];
      expect(relativeError(got['sum'] as Float32Array, wanted['sum'] as Float32Array)).toBeLessThan(2 ** -7);
    },
  );

  test.each(halves)('%s: the slope of GELU wherever x is', async (half) => {
    const [dy, x] = ['dy', 'x'].map((name) => input(name, 'float32', [401]));
    const [dx, y] = definitions.GeluGrad([cast(dy!, half), cast(x!, half)], {});
    const graph = graphOf([dy!, x!], { dx: cast(dx!, 'float32'), y: cast(y!, 'float32') });
    const reference = geluGrad(dy!, x!);
    const arrays = {
      // float16 has no number as small as bfloat16's smallest gradients
      dy: new Float32Array(401).fill(half === 'bfloat16' ? 2 ** -40 : 1),
      // most of it about zero, then to where x² is no number of float16 any more; exact in bfloat16
      x: Float32Array.from({ length: 401 }, (_, i) => (i < 321 ? (i - 160) / 32 : 8 * (i - 361))),
    };
    const got = await runGraph(runtime, rounded(graph), arrays);
    const wanted = await runGraph(
      runtime,
      graphOf([dy!, x!], { dx: reference[0]!, y: reference[1]! }),
      arrays,
    );
    const scale = arrays.dy[0]!;
    const epsilon = half === 'bfloat16' ? 2 ** -8 : 2 ** -10;
    const over = (numbers: Float32Array) => numbers.map((number) => number / scale);
    expect(over(got['dx'] as Float32Array)).toBeAllclose(over(wanted['dx'] as Float32Array), {
      rtol: epsilon,
      atol: 2 ** -10,
    });
    expect(got['y']).toBeAllclose(wanted['y']!, { rtol: epsilon, atol: 2 ** -24 });
  });

  test.each(halves)('%s: what attention subtracts is not rounded before', async (half) => {
    const [tokens, width] = [16, 16];
    const qkv = input('qkv', 'float32', [1, tokens, 3, 1, width]);
    const dy = input('dy', 'float32', [1, tokens, 1, width]);
    const output = attention(qkv, 1);
    const logSumExp = producerOf(output)!.outputs[1]!;
    const dq = slice(attentionGrad(dy, qkv, output, logSumExp, 1), 2, 0, 1);
    const graph = graphOf([qkv, dy], { dq });
    // Queries of 0 weigh all tokens alike, and values come in pairs about 12: each output is 12, and Σ dy∘y, 12·Σ dy,
    // is large beside what it leaves of dP. One error in a row of dS would reach dq as often as keys are about 4.
    const numbers = new Float32Array(qkv.shape.reduce((a, b) => a * b));
    const noise = Array.from(randomNormal(1, [2, tokens, width]), (x) => Math.round(8 * x) / 16);
    for (let token = 0; token < tokens; token++) {
      for (let i = 0; i < width; i++) {
        const at = (part: number) => (3 * token + part) * width + i;
        numbers[at(1)] = 4 + noise[token * width + i]!;
        numbers[at(2)] = 12 + (token % 2 ? -1 : 1) * noise[(tokens + (token >> 1)) * width + i]!;
      }
    }
    const arrays = {
      qkv: numbers,
      dy: Float32Array.from(randomNormal(2, dy.shape), (x) => Math.round(32 * x) / 32),
    };
    const [got, wanted] = [
      await runGraph(runtime, rounded(lower(graph, half)), arrays),
      await runGraph(runtime, graph, arrays),
    ].map((results) => results['dq'] as Float32Array);
    const error = relativeError(got!, wanted!);
    console.log(`${half}, attention's gradient: ${error.toExponential(1)}`);
    expect(error).toBeLessThan(half === 'bfloat16' ? 2 ** -7 : 2 ** -10);
  });

  test.each(halves)('%s, blocks computed again: the same bytes', async (half) => {
    const checkpointed = trainingGraph(golden.config, golden.batch, {
      kept: golden.kept,
      normPixLoss: golden.normPixLoss,
      accumulate: false,
      gradCheckpointing: true,
    });
    const [once, again] = await Promise.all(
      [plain, checkpointed].map((graph) => runGraph(runtime, rounded(lower(graph, half)), arrays(1))),
    );
    for (const [name, numbers] of Object.entries(once!)) expect(again![name], name).toEqual(numbers);
  });

  test('float16 as the CPU provider runs it', async () => {
    const errors = await compare(lower(plain, 'float16'), 2 ** 16);
    expect(errors.loss).toBeLessThan(1e-3);
    expect(errors.gradients).toBeLessThan(2e-3);
    expect(errors.gradients).toBeGreaterThan(1e-5);
  });

  test('a scale far too large gives gradients that are no numbers, which their norm shows', async () => {
    const results = await runGraph(runtime, lower(plain, 'float16'), arrays(2 ** 30));
    expect(await gradientNorm(runtime, golden.config, results)).not.toSatisfy(Number.isFinite);
    expect(Number.isFinite(results['loss']![0])).toBe(true);
  });

  test('the provider has no product in bfloat16', () => {
    const model = encodeModel(lower(plain, 'bfloat16'));
    expect(() => runtime.createSession(model)).toThrow(/Could not find an implementation for Gemm/);
  });
});
