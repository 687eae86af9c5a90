import { sameShape, sizeOf } from '../../util/shape.js';
import { scalarLike } from '../graph/constant.js';
import {
  createNode,
  type DType,
  type Graph,
  type HalfType,
  isHalf,
  type Node,
  type Value,
} from '../graph/graph.js';
import type { Op } from '../graph/op.js';
import { add, cast } from '../graph/ops/elementwise.js';
import { matMul } from '../graph/ops/linalg.js';
import { expand, reshape } from '../graph/ops/movement.js';
import { isColumnSum, reduceSum } from '../graph/ops/reduction.js';
import { rewrite } from './rewrite.js';

/**
 * In which precision an operator computes, as under PyTorch's autocast:
 *
 * - `half`: matrix products and attention, whatever their inputs come in. Sums inside are the device's, in float32 on
 *   tensor cores.
 * - `follows`: in half precision where every number it reads is there in it already, so that nothing is cast for its
 *   sake. GELU is one: between two products it reads and writes 2 bytes a number rather than 4, and one kernel rounds
 *   once. Its gradient takes and gives half precision too (`definitions.ts`).
 * - `float32`: sums, norms, the loss, the residual stream, what fills gradients up. `Pad` has no bfloat16 kernel on CUDA.
 */
const precisionOf: { readonly [K in Op]: 'half' | 'follows' | 'float32' } = {
  MatMul: 'half',
  Gemm: 'half',
  Attention: 'half',
  Conv: 'half',
  AttentionGrad: 'half',

  Gelu: 'follows',
  GeluGrad: 'follows',
  Reshape: 'follows',
  Transpose: 'follows',
  Slice: 'follows',
  Concat: 'follows',
  Split: 'follows',
  Gather: 'follows',
  Expand: 'follows',
  Shape: 'follows',

  Neg: 'float32',
  Exp: 'float32',
  Log: 'float32',
  Sqrt: 'float32',
  Reciprocal: 'float32',
  Erf: 'float32',
  HardSigmoid: 'float32',
  Less: 'float32',
  Add: 'float32',
  Sub: 'float32',
  Mul: 'float32',
  Div: 'float32',
  Cast: 'float32',
  ScatterND: 'float32',
  Pad: 'float32',
  Softmax: 'float32',
  SoftmaxGrad: 'float32',
  LayerNormalization: 'float32',
  LayerNormalizationGrad: 'float32',
  ReduceSum: 'float32',
  ReduceMean: 'float32',
  ReduceSumSquare: 'float32',
  ReduceLogSumExp: 'float32',
  SumOfSquares: 'float32',
  Range: 'float32',
  Resize: 'float32',
  Sin: 'float32',
  Cos: 'float32',
  DynamicQuantizeLinear: 'float32',
  MatMulInteger: 'float32',
  AdamW: 'float32',
  // these come in after this pass, or belong to other runtimes
  FusedGemm: 'float32',
  FusedLayerNormalization: 'float32',
  ColumnSums: 'float32',
  Where: 'float32',
  AdamWOptimizer: 'float32',
  InPlaceAccumulatorV2: 'float32',
};

/** The one tensor of attention that is never of half precision: the logarithm of softmax's denominator. */
const logSumExp = { output: 1, input: 3 };

/**
 * The graph with products and attention in half precision, and what lies between them too; its inputs and outputs
 * stay float32: parameters are cast once, and gradients of them come out in float32. For graphs in our own operators,
 * before `expandDefinitions`, which says where inside them float32 is needed; call `dropRoundTrips` after it.
 */
export function mixedPrecision(graph: Graph, half: HalfType): Graph {
  const casts = new Casts();
  const mixed = rewrite(graph, (node, inputs) => mixedNode(node, inputs, casts, half));
  const outputs = mixed.outputs.map(({ name, value }, index) => ({
    name,
    value: casts.of(value, graph.outputs[index]!.value.type),
  }));
  return { ...mixed, outputs };
}

/** Values in a precision that something reads them in: one cast for each. */
class Casts {
  readonly #made = new Map<Value, Value>();

  of(value: Value, type: DType): Value {
    if (value.type === type) return value;
    const made = this.#made.get(value) ?? cast(value, type);
    this.#made.set(value, made);
    return made;
  }
}

/** What takes the place of a node; `inputs` in the precision that their operators give them in. */
function mixedNode(
  node: Node,
  inputs: readonly (Value | null)[],
  casts: Casts,
  half: HalfType,
): readonly Value[] {
  const { op, attributes, outputs } = node;
  if (op === 'Gemm') return [mixedGemm(node, inputs as readonly Value[], casts, half)];
  if (isColumnSum(node) && isHalf(inputs[0]!.type)) return [columnSum(inputs[0]!)];
  // of float32, or of half precision by now
  const isNumber = (index: number) => node.inputs[index]?.type === 'float32';
  const isInHalf =
    precisionOf[op] === 'half' ||
    (precisionOf[op] === 'follows' &&
      inputs.every((value, index) => !isNumber(index) || isHalf(value!.type)));
  const given = inputs.map((value, index) => {
    if (value === null || !isNumber(index)) return value;
    const inHalf = isInHalf && !(op === 'AttentionGrad' && index === logSumExp.input);
    return casts.of(value, inHalf ? half : 'float32');
  });
  const made = outputs.map(({ type, shape }, index) => {
    const inHalf = isInHalf && type === 'float32' && !(op === 'Attention' && index === logSumExp.output);
    return { type: inHalf ? half : type, shape };
  });
  return createNode(op, given, attributes, made);
}

/** A product in half precision. A bias is rounded with it; a running sum, of a weight's gradient say, is not. */
function mixedGemm(
  { attributes, outputs }: Node,
  [a, b, c]: readonly Value[],
  casts: Casts,
  half: HalfType,
): Value {
  const [{ shape }] = outputs as readonly [Value];
  const isSum = c !== undefined && sameShape(c.shape, shape);
  const factors = [a!, b!, ...(c === undefined || isSum ? [] : [c])].map((value) => casts.of(value, half));
  const product = createNode('Gemm', factors, attributes, [{ type: half, shape }])[0]!;
  return isSum ? add(cast(product, 'float32'), casts.of(c, 'float32')) : product;
}

/**
 * The sum of a tensor's rows, as for the gradient of a bias, in float32. Products with ones read half precision and add
 * up some of the rows each, in float32 inside as all products do: nothing as large as x is cast.
 */
function columnSum(x: Value): Value {
  const width = x.shape.at(-1)!;
  const rows = sizeOf(x.shape) / width;
  let together = Math.min(32, rows);
  while (rows % together !== 0) together++;
  const ones = expand(scalarLike(x, 1), [1, together]);
  const sums = matMul(ones, reshape(x, [rows / together, together, width]));
  return reduceSum(cast(sums, 'float32'), [0, 1]);
}

/**
 * The graph with every cast to a type that the value was cast from before, with no more than reshapes between,
 * reading that earlier value: nothing is rounded only to be widened again.
 */
export function dropRoundTrips(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    if (node.op !== 'Cast') return undefined;
    const [{ type, shape }] = node.outputs as readonly [Value];
    let source = inputs[0]!;
    while (source.source.kind === 'node' && source.source.node.op === 'Reshape') {
      source = source.source.node.inputs[0]!;
    }
    if (source.source.kind !== 'node' || source.source.node.op !== 'Cast') return undefined;
    const before = source.source.node.inputs[0]!;
    return before.type === type ? [reshape(before, shape)] : undefined;
  });
}
