import { expect, test } from 'vitest';
import { type Graph, type Node, nodesOf, producerOf } from '../../../src/compiler/graph/graph.js';
import type { Op } from '../../../src/compiler/graph/op.js';
import { kernelOps } from '../../../src/compiler/graph/own-ops.js';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { fuseForKernels } from '../../../src/compiler/lowering/fuse.js';
import { storeBfloat16 } from '../../../src/compiler/lowering/store-bfloat16.js';
import { trainingGraph } from '../../support/mae-graphs.js';
import { smallModel } from '../../support/small-model.js';

const graph = trainingGraph(smallModel, 2, { kept: 4, normPixLoss: true, accumulate: false });
const nodesIn = ({ outputs }: Graph) => nodesOf(outputs.map(({ value }) => value));

/** What a node reads, behind reshapes. */
function sources(node: Node): (Node | undefined)[] {
  return node.inputs.map((value) => {
    let producer = value === null ? undefined : producerOf(value);
    while (producer?.op === 'Reshape') producer = producerOf(producer.inputs[0]!);
    return producer;
  });
}

test('no weight gradient reads an output of GELU or a layer norm of the forward pass', () => {
  const forward = new Set(nodesOf([graph.outputs.find(({ name }) => name === 'loss')!.value]));
  const backward = nodesIn(graph).filter((node) => !forward.has(node));
  const read = new Set(backward.flatMap(sources));
  const kept = (op: Op) => [...forward].filter((node) => node.op === op);
  expect(kept('Gelu').length).toBeGreaterThan(0);
  expect(kept('Gelu').filter((node) => read.has(node))).toEqual([]);
  // of a norm the statistics are read, its first output is not
  const norms = new Set(kept('LayerNormalization').map(({ outputs }) => outputs[0]!));
  const reshaped = [...forward].filter(({ op, inputs }) => op === 'Reshape' && norms.has(inputs[0]!));
  for (const { outputs } of reshaped) norms.add(outputs[0]!);
  expect(norms.size).toBeGreaterThan(0);
  expect(backward.filter(({ inputs }) => inputs.some((value) => value && norms.has(value)))).toEqual([]);
});

test('bfloat16 holds what only products and attention read; results and the residual stream are float32', () => {
  const fused = expandDefinitions(fuseForKernels(graph, { bfloat16: true }), kernelOps);
  const stored = storeBfloat16(fused);
  const nodes = nodesIn(stored);
  const typesOf = (op: Op, index: number) =>
    new Set(nodes.filter((node) => node.op === op).map(({ outputs }) => outputs[index]!.type));
  // the last one is cut to the tokens that are read, by an operator of ONNX
  const attention = nodes.filter(({ op }) => op === 'Attention').map(({ outputs }) => outputs[0]!.type);
  expect(attention.pop()).toBe('float32');
  expect(new Set(attention)).toEqual(new Set(['bfloat16']));
  expect(typesOf('Attention', 1)).toEqual(new Set(['float32']));
  expect(typesOf('AttentionGrad', 0)).toEqual(new Set(['bfloat16']));
  expect(typesOf('GeluGrad', 0)).toEqual(new Set(['bfloat16']));
  expect(typesOf('LayerNormalizationGrad', 0)).toEqual(new Set(['float32']));
  expect(typesOf('FusedGemm', 0)).toEqual(new Set(['bfloat16', 'float32']));
  for (const { name, value } of stored.outputs) expect(value.type, name).toBe('float32');
  // operators of ONNX alone take no bfloat16 here
  const others = nodes.filter(({ op }) => op !== 'Reshape' && !(kernelOps as ReadonlySet<Op>).has(op));
  expect(others.flatMap(({ inputs }) => inputs).some((value) => value?.type === 'bfloat16')).toBe(false);
});
