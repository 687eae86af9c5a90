import { expect, test } from 'vitest';
import { peakActivationBytes } from '../../src/artifact/memory.js';
import { type Graph, input } from '../../src/compiler/graph/graph.js';
import { add, exp, neg } from '../../src/compiler/graph/ops/elementwise.js';
import { concat, reshape } from '../../src/compiler/graph/ops/movement.js';
import { reduceSum } from '../../src/compiler/graph/ops/reduction.js';

test('counts what is held at once: not inputs, not outputs, not views, and nothing after its last reader', () => {
  const x = input('x', 'float32', [100]);
  const a = exp(x); // 400 bytes, read by b and c
  const b = neg(a); // 400 bytes beside a
  const view = reshape(b, [10, 10]); // no bytes
  const c = add(reshape(view, [100]), a); // 400 bytes beside a and b: the peak
  const wide = concat([c, c], 0); // 800 bytes beside c: as much
  const y = reduceSum(wide, [0]); // an output
  const graph: Graph = { name: 'g', inputs: [x], outputs: [{ name: 'y', value: y }] };
  expect(peakActivationBytes(graph)).toBe(1200);
});

test('a chain holds two neighbours, whatever its length', () => {
  const x = input('x', 'float32', [256]);
  let y = x;
  for (let i = 0; i < 20; i++) y = neg(y);
  const graph: Graph = { name: 'g', inputs: [x], outputs: [{ name: 'y', value: reduceSum(y, [0]) }] };
  expect(peakActivationBytes(graph)).toBe(2 * 1024);
});
