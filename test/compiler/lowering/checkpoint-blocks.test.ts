import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { oneAfterTheOther } from '../../../src/artifact/graphs.js';
import { trainingModelFile } from '../../../src/artifact/manifest.js';
import { gradients } from '../../../src/compiler/autodiff/gradients.js';
import { type Graph, input, nodesOf, producerOf, type Value } from '../../../src/compiler/graph/graph.js';
import { add, exp, mul } from '../../../src/compiler/graph/ops/elementwise.js';
import { reduceSum } from '../../../src/compiler/graph/ops/reduction.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { checkpointBlocks } from '../../../src/compiler/lowering/checkpoint-blocks.js';
import type { KernelPrecision } from '../../../src/compiler/lowering/precision.js';
import { findKernels } from '../../../src/runtime/kernels.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { readMaeGolden } from '../../support/mae-golden.js';
import { buildArtifacts, trainingGraph } from '../../support/mae-graphs.js';
import { type Arrays, inputName, runSession } from '../../support/run-graph.js';
import { smallModel } from '../../support/small-model.js';

const kernels = findKernels();
const kernelsPath = 'path' in kernels ? kernels.path : undefined;
const options = { batchSize: 2, maskRatio: 0.75, normPixLoss: true, accumulate: false };

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1, kernelsPath });
});
afterAll(() => runtime.release());

test('the backward pass reads copies that start from the block’s input and the gradient', () => {
  const [x, w, dy] = [
    input('x', 'float32', [4]),
    input('w', 'float32', [4]),
    input('dy', 'float32', []),
  ] as const;
  const y = add(x, exp(mul(x, w)));
  const loss = reduceSum(mul(y, y), [0]);
  const graph: Graph = {
    name: 'g',
    inputs: [x, w, dy],
    outputs: [
      { name: 'loss', value: loss },
      { name: 'dw', value: gradients(loss, dy, [w]).get(w)! },
    ],
  };
  expect(printGraph(checkpointBlocks(graph, [loss], [{ x, y }]))).toMatchInlineSnapshot(`
    "g(
      x: float32[4]
      w: float32[4]
      dy: float32[]
    ) {
      Mul_0: float32[4] = Mul(x, w)
      Exp_1: float32[4] = Exp(Mul_0)
      Add_2: float32[4] = Add(x, Exp_1)
      Mul_3: float32[4] = Mul(Add_2, Add_2)
      loss: float32[] = ReduceSum(Mul_3, [0], keepdims=0)
      Reshape_4: float32[1] = Reshape(dy, [-1])
      Expand_5: float32[4] = Expand(Reshape_4, [4])
      Mul_6: float32[4] = Mul(Expand_5, Add_2)
      Mul_7: float32[4] = Mul(Add_2, Expand_5)
      Add_8: float32[4] = Add(Mul_6, Mul_7)
      Slice_9: float32[1] = Slice(Add_8, [0], [1], [0])
      Reshape_10: float32[] = Reshape(Slice_9, [])
      Mul_11: float32[] = Mul(Reshape_10, 0)
      Add_12: float32[] = Add(Mul_11, 0)
      Add_13: float32[4] = Add(x, Add_12)
      Mul_14: float32[4] = Mul(Add_13, w)
      Exp_15: float32[4] = Exp(Mul_14)
      Mul_16: float32[4] = Mul(Add_8, Exp_15)
      dw: float32[4] = Mul(Add_13, Mul_16)
      return loss, dw
    }"
  `);
});

/** Loss and gradients of the golden step. */
async function golden(
  kernelPrecision: KernelPrecision | undefined,
  accumulate: boolean,
  gradCheckpointing: boolean,
): Promise<Arrays> {
  const { config, batch, kept, maskRatio, normPixLoss, inputs } = readMaeGolden('mae-small');
  const { files } = buildArtifacts(config, {
    batchSize: batch,
    maskRatio,
    normPixLoss,
    accumulate,
    gradCheckpointing,
    kernelPrecision,
  });
  const graph = oneAfterTheOther(trainingGraph(config, batch, { kept, normPixLoss, accumulate }));
  const running = graph.inputs.filter((value) => inputName(value).endsWith('.buffer'));
  const buffers = running.map((value) => {
    const size = value.shape.reduce((a, b) => a * b, 1);
    return [inputName(value), new Float32Array(size).fill(0.01)] as const;
  });
  const given = { ...inputs, loss_scale: Float32Array.of(1), ...Object.fromEntries(buffers) };
  const session = runtime.createSession(files.get(trainingModelFile)!);
  try {
    return await runSession(runtime, session, graph, given);
  } finally {
    session.release();
  }
}

describe.each<KernelPrecision | undefined>([undefined, 'fp32', 'bf16'])('kernels: %s', (precision) => {
  const skipped = precision !== undefined && kernelsPath === undefined;
  if (skipped) console.warn(`checkpointing with ${precision} kernels is not tested: no library of kernels`);

  test.skipIf(skipped).each([false, true])(
    'loss and gradients are the same bytes, accumulating: %s',
    async (accumulate) => {
      const plain = await golden(precision, accumulate, false);
      const checkpointed = await golden(precision, accumulate, true);
      expect(Object.keys(checkpointed)).toEqual(Object.keys(plain));
      for (const [name, numbers] of Object.entries(plain)) expect(checkpointed[name], name).toEqual(numbers);
    },
  );

  test('of a block more, its input is all that a step holds more', () => {
    const bytesOf = (depth: number, gradCheckpointing: boolean): number => {
      const config = { ...smallModel, depth };
      const { manifest } = buildArtifacts(config, {
        ...options,
        gradCheckpointing,
        kernelPrecision: precision,
      });
      return manifest.activationBytes;
    };
    const inputBytes = options.batchSize * (1 + 4) * smallModel.embedDim * 4;
    expect(bytesOf(9, true) - bytesOf(8, true)).toBe(inputBytes);
    expect(bytesOf(9, false) - bytesOf(8, false)).toBeGreaterThan(5 * inputBytes);
    expect(bytesOf(24, true)).toBeLessThan(0.5 * bytesOf(24, false));
  });
});

test('the backward pass reads one value of each block’s forward pass', () => {
  const keptOf = (depth: number): number => {
    const config = { ...smallModel, depth };
    const graph = trainingGraph(config, 2, { ...options, kept: 4, gradCheckpointing: true });
    const forward = new Set(nodesOf([graph.outputs[0]!.value]));
    const read = nodesOf(graph.outputs.map(({ value }) => value))
      .filter((node) => !forward.has(node))
      .flatMap(({ inputs }) => inputs as readonly Value[]);
    return new Set(read.filter((value) => forward.has(producerOf(value)!))).size;
  };
  expect(keptOf(7) - keptOf(2)).toBe(5);
});

test('off, the files are what they are without the option', () => {
  const files = (gradCheckpointing?: boolean) => [
    ...buildArtifacts(smallModel, { ...options, gradCheckpointing }).files,
  ];
  expect(files(false)).toEqual(files());
  expect(files(true)).not.toEqual(files());
});
