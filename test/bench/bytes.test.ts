import { expect, test } from 'vitest';
import { graphBytes } from '../../src/bench/bytes.js';
import { type Graph, input, type Value } from '../../src/compiler/graph/graph.js';
import { add, square } from '../../src/compiler/graph/ops/elementwise.js';
import { geluGrad, layerNormalizationGrad } from '../../src/compiler/graph/ops/gradient.js';
import { matMul } from '../../src/compiler/graph/ops/linalg.js';
import { reshape, slice } from '../../src/compiler/graph/ops/movement.js';
import { expandDefinitions } from '../../src/compiler/lowering/expand.js';
import { lowerGraph } from '../../src/compiler/lowering/lower.js';
import { loadModelConfig } from '../../src/model/presets.js';
import { trainingGraph } from '../support/mae-graphs.js';

const value = (name: string, ...shape: number[]) => input(name, 'float32', shape);
const graphOf = (...outputs: Value[]): Graph => ({
  name: 'graph',
  inputs: [],
  outputs: outputs.map((each, i) => ({ name: `y${i}`, value: each })),
});

test('each input is read once, each output written once', () => {
  const x = value('x', 4, 8);
  const y = add(square(reshape(slice(x, 0, 0, 2), [16])), value('bias', 16));
  const { operators, totalBytes } = graphBytes(graphOf(y));
  expect(
    operators.map(({ operator, readBytes, writtenBytes }) => [operator, readBytes, writtenBytes]),
  ).toEqual([
    ['Add', 128, 64],
    ['Slice', 64, 64],
    ['Mul', 64, 64],
    ['Reshape', 0, 0],
  ]);
  expect(totalBytes).toBe(448);
});

test('products are counted by themselves', () => {
  const { productBytes, otherBytes } = graphBytes(
    graphOf(square(matMul(value('a', 2, 3), value('b', 3, 5)))),
  );
  expect([productBytes, otherBytes]).toEqual([4 * (6 + 15 + 10), 4 * 20]);
});

/** How often a backward pass in standard operators moves a tensor of the size of its input. */
function passes(outputs: readonly Value[], elements: number): number {
  return graphBytes(expandDefinitions(graphOf(...outputs))).totalBytes / (4 * elements);
}

test('backward passes by the number of times that they move their tensor', () => {
  const [rows, width] = [64, 512];
  const [dy, x] = [value('dy', rows, width), value('x', rows, width)];
  const gelu = passes(geluGrad(dy, x), rows * width);
  const [gamma, beta] = [value('gamma', width), value('beta', width)];
  const statistics = [value('mean', rows, 1), value('inv_std_dev', rows, 1)] as const;
  const norm = passes(layerNormalizationGrad(dy, x, gamma, beta, ...statistics, 1e-6), rows * width);
  console.log(`GELU backward ${gelu.toFixed(1)}, layer norm backward ${norm.toFixed(1)} times their tensor`);
  // 24 and 22 beside scalars, rows and columns; one fused kernel would move 4 and 5
  expect(gelu).toBeLessThan(24.1);
  expect(norm).toBeLessThan(22.4);
});

test.each([
  [undefined, 170e9, 745e9],
  ['fp16', 85e9, 500e9],
  ['bf16', 85e9, 515e9],
] as const)(
  'ViT-L at batch 256, %s: where its bytes go, and not more than before',
  (graphPrecision, least, most) => {
    const config = loadModelConfig('mae_vit_large_patch16');
    const graph = trainingGraph(config, 256, { kept: 49, normPixLoss: true, accumulate: false });
    const { operators, totalBytes, productBytes, otherBytes } = graphBytes(
      lowerGraph(graph, { graphPrecision }),
    );
    const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;
    console.log(
      [
        `ViT-L, batch 256, ${graphPrecision ?? 'fp32'}: ${gigabytes(totalBytes)}, products ${gigabytes(productBytes)}, others ${gigabytes(otherBytes)}`,
        ...operators
          .slice(0, 16)
          .map(
            (each) =>
              `${each.operator.padEnd(20)}${gigabytes(each.readBytes + each.writtenBytes).padStart(10)}`,
          ),
      ].join('\n'),
    );
    expect(operators.reduce((sum, each) => sum + each.readBytes + each.writtenBytes, 0)).toBe(totalBytes);
    // below is what products move by themselves; no definition can do without
    expect(productBytes).toBeGreaterThan(least);
    expect(productBytes).toBeLessThan(1.25 * least);
    expect(totalBytes).toBeLessThan(most);
  },
);
