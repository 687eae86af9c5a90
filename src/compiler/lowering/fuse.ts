import { sameShape } from '../../util/shape.js';
import { createNode, type Graph, type Node, nodesOf, producerOf, type Value } from '../graph/graph.js';
import { columnSums, fusedGemm } from '../graph/ops/fused.js';
import { reshape } from '../graph/ops/movement.js';
import { isColumnSum } from '../graph/ops/reduction.js';

export interface FuseOptions {
  /** Products and attention with factors rounded to bfloat16. */
  readonly bfloat16: boolean;
}

type Inputs = readonly (Value | null)[];

/**
 * The graph in the operators that have kernels: a matrix product takes up the bias, the GELU and the residual that
 * follow it, a layer norm's gradient the one that comes past it, and a sum over rows is one operator.
 */
export function fuseForKernels(graph: Graph, { bfloat16 }: FuseOptions): Graph {
  const nodes = nodesOf(graph.outputs.map(({ value }) => value));
  const { hostOf, deferred } = findAdditions(graph, nodes);
  const current = new Map<Value, Value>();
  const now = (value: Value | null): Value | null => (value === null ? null : (current.get(value) ?? value));
  const products = new Map<Node, readonly Value[]>();
  const emit = (node: Node, addend: Value | null) => {
    const outputs = fused(node, node.inputs.map(now), addend, bfloat16);
    products.set(node, outputs);
    node.outputs.forEach((value, index) => void current.set(value, outputs[index]!));
    return outputs;
  };

  for (const node of nodes) {
    if (deferred.has(node)) continue;
    const [result] = node.outputs as [Value];
    const host = hostOf.get(node);
    const before = node.op === 'Gelu' ? products.get(originOf(node.inputs[0]!)!) : undefined;
    if (host !== undefined) {
      const addend = now(node.inputs.find((value) => originOf(value!) !== host)!)!;
      current.set(result, reshape(emit(host, addend)[0]!, result.shape));
    } else if (before?.length === 2) {
      current.set(result, reshape(before[1]!, result.shape));
    } else {
      emit(node, null);
    }
  }
  return { ...graph, outputs: graph.outputs.map(({ name, value }) => ({ name, value: now(value)! })) };
}

/** A node in the operators that have kernels, or as it is; the addend is added to its first output. */
function fused(node: Node, inputs: Inputs, addend: Value | null, bfloat16: boolean): readonly Value[] {
  const { op, attributes, outputs } = node;
  const [first, second, third] = inputs as readonly Value[];
  if (op === 'Gemm' && isFusibleGemm(node)) {
    const isBias = third?.shape.length === 1;
    return fusedGemm(first!, second!, {
      transA: attributes['transA'] === 1,
      transB: attributes['transB'] === 1,
      alpha: attributes['alpha'] as number,
      bias: isBias ? third : null,
      addend: flat(addend, outputs[0]!) ?? (isBias ? null : (third ?? null)),
      bfloat16,
    });
  }
  if (isColumnSum(node)) return [columnSums(first!, flat(addend, outputs[0]!))];
  if (op === 'LayerNormalization') return createNode('FusedLayerNormalization', inputs, attributes, outputs);
  if (op === 'LayerNormalizationGrad' && addend !== null) {
    return createNode(op, [...inputs, flat(addend, outputs[0]!)], attributes, outputs);
  }
  if (op === 'Attention' || op === 'AttentionGrad') {
    return createNode(op, inputs, { ...attributes, bfloat16: Number(bfloat16) }, outputs);
  }
  return createNode(op, inputs, attributes, outputs);
}

/** The addend in the shape of what it is added to. */
function flat(addend: Value | null, output: Value): Value | null {
  return addend === null ? null : reshape(addend, output.shape);
}

function isFusibleGemm({ op, inputs, outputs }: Node): boolean {
  if (op !== 'Gemm' || outputs[0]!.type !== 'float32') return false;
  const shape = outputs[0]!.shape;
  const c = inputs[2];
  return c == null || sameShape(c.shape, shape) || sameShape(c.shape, shape.slice(1));
}

/** What a value is made by, behind reshapes. */
function originOf(value: Value): Node | undefined {
  let node = producerOf(value);
  while (node?.op === 'Reshape') node = producerOf(node.inputs[0]!);
  return node;
}

/**
 * Additions that a node before them can take up (hostOf: addition → node), and the nodes that wait for their
 * addition, with the reshapes between: nothing else reads what they make before the sum is there.
 */
function findAdditions(graph: Graph, nodes: readonly Node[]) {
  const readers = new Map<Value, Node[]>();
  for (const node of nodes) {
    for (const value of node.inputs) if (value) readers.set(value, [...(readers.get(value) ?? []), node]);
  }
  const results = new Set(graph.outputs.map(({ value }) => value));
  const soleReader = (value: Value): Node | undefined => {
    const all = readers.get(value) ?? [];
    return all.length === 1 && !results.has(value) ? all[0] : undefined;
  };
  const hostOf = new Map<Node, Node>();
  const deferred = new Set<Node>();
  for (const node of nodes) {
    const takesAddend =
      (isFusibleGemm(node) && node.inputs[2]?.shape.length !== 2) ||
      isColumnSum(node) ||
      node.op === 'LayerNormalizationGrad';
    if (!takesAddend) continue;
    const between: Node[] = [];
    let addition = soleReader(node.outputs[0]!);
    while (addition?.op === 'Reshape') {
      between.push(addition);
      addition = soleReader(addition.outputs[0]!);
    }
    if (addition?.op !== 'Add' || hostOf.has(addition)) continue;
    const sameShapes = addition.inputs.every((value) => sameShape(value!.shape, addition.outputs[0]!.shape));
    const others = node.outputs.slice(1).flatMap((value) => readers.get(value) ?? []);
    if (!sameShapes || others.some(({ id }) => id < addition.id)) continue;
    hostOf.set(addition, node);
    for (const each of [node, ...between]) deferred.add(each);
  }
  return { hostOf, deferred };
}
