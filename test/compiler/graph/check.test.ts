import { describe, expect, test } from 'vitest';
import { checkGraph } from '../../../src/compiler/graph/check.js';
import { constant } from '../../../src/compiler/graph/constant.js';
import { createNode, type Graph, input, type Value } from '../../../src/compiler/graph/graph.js';
import { nameValues } from '../../../src/compiler/graph/names.js';
import { add, neg } from '../../../src/compiler/graph/ops/elementwise.js';

const x = input('x', 'float32', [2]);
const other = input('other', 'float32', [2]);
const y = neg(x);
const graphOf = (inputs: Value[], outputs: Record<string, Value>): Graph => ({
  name: 'g',
  inputs,
  outputs: Object.entries(outputs).map(([name, value]) => ({ name, value })),
});

describe('checkGraph', () => {
  test('passes a graph that can be written', () => {
    checkGraph(graphOf([x, other], { y: add(y, other), z: y }));
  });

  test.each<[string, Graph, string]>([
    ['two inputs of one name', graphOf([x, input('x', 'int64', [1])], { y }), 'g gives the name x twice'],
    ['an output of an input’s name', graphOf([x], { x: y }), 'g gives the name x twice'],
    ['an input left out', graphOf([x], { y: add(y, other) }), 'Add of g uses undeclared input other'],
    ['an input that is a result', graphOf([x, y], { z: neg(y) }), 'an input of g is not an input'],
    ['an output that is an input', graphOf([x], { y: x }), "output y is no node's result"],
    [
      'an output that is a constant',
      graphOf([x], { y: constant('float32', [1], Float32Array.of(1)) }),
      "output y is no node's result",
    ],
    ['one result under two names', graphOf([x], { y, z: y }), 'output z is another output too'],
  ])('refuses %s', (_, graph, message) => {
    expect(() => checkGraph(graph)).toThrow(`checkGraph: ${message}`);
  });

  test('refuses a node that reads a later one', () => {
    const inputs: Value[] = [x];
    const [early] = createNode('Neg', inputs, {}, [x]);
    inputs[0] = neg(x);
    expect(() => checkGraph(graphOf([x], { y: early! }))).toThrow('Neg of g uses a later value');
  });
});

test('names are asked only of values of the graph', () => {
  expect(() => nameValues(graphOf([x], { y })).nameOf(neg(x))).toThrow('a value of another graph');
});
