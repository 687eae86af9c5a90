/**
 * The loss of some of the removed patches, `test/goldens/mae-small*-predicted`: there transformers' modules, in
 * float64 and in the order of the image, get the class token, the visible patches and those to predict, and no others.
 */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accumulatingTrainingGraph } from '../../src/artifact/onnxruntime-training/graphs.js';
import { type Graph, nodesOf } from '../../src/compiler/graph/graph.js';
import { kernelOps } from '../../src/compiler/graph/own-ops.js';
import { printGraph } from '../../src/compiler/graph/print.js';
import { expandDefinitions } from '../../src/compiler/lowering/expand.js';
import { fuseForKernels } from '../../src/compiler/lowering/fuse.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import { patchCount } from '../../src/model/config.js';
import { predictedCount } from '../../src/model/mask.js';
import { maeParameters } from '../../src/model/parameters.js';
import { findKernels } from '../../src/runtime/kernels.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { relativeError } from '../support/allclose.js';
import { float32, readGoldenJson, readGoldenTensors } from '../support/goldens.js';
import { maeGoldens, readMaeGolden } from '../support/mae-golden.js';
import { evalGraph, taskOf, trainingGraph } from '../support/mae-graphs.js';
import { type Arrays, runGraph, runSession } from '../support/run-graph.js';

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

const kernels = findKernels();
if ('reason' in kernels) console.warn(`the kernels are not tested: ${kernels.reason}`);

async function runWithKernels(graph: Graph, inputs: Arrays): Promise<Arrays> {
  const runtime = new Runtime({ threads: 2, kernelsPath: 'path' in kernels ? kernels.path : undefined });
  const lowered = expandDefinitions(fuseForKernels(graph, { bfloat16: false }), kernelOps);
  const session = runtime.createSession(encodeModel(lowered));
  try {
    return await runSession(runtime, session, graph, inputs);
  } finally {
    session.release();
    runtime.release();
  }
}

const lossScale = { loss_scale: Float32Array.of(1) };

describe.each(maeGoldens)('%s', (name) => {
  const golden = readMaeGolden(name);
  const { config, batch, kept, normPixLoss } = golden;
  const expected = readGoldenJson<{ predicted: number; loss: number }>(`${name}-predicted`);
  const gradient = readGoldenTensors(`${name}-predicted`);
  const { predicted } = expected;
  const patches = patchCount(config);
  const options = { kept, predicted, normPixLoss, accumulate: false };
  const graph = trainingGraph(config, batch, options);
  const trainable = maeParameters(config).filter(({ group }) => group !== 'fixed');

  const ways: [string, (inputs: Arrays) => Promise<Arrays>][] = [
    ['ONNX’s operators', (inputs) => runGraph(runtime, graph, inputs)],
  ];
  if ('path' in kernels) ways.push(['the kernels', (inputs) => runWithKernels(graph, inputs)]);
  describe.each(ways)('by %s', (_, run) => {
    let trained: Arrays<Float32Array>;
    beforeAll(async () => {
      trained = (await run({ ...golden.inputs, ...lossScale })) as Arrays<Float32Array>;
    });

    test('loss', () => {
      expect(trained['loss']).toBeAllclose([expected.loss], { rtol: 1e-6 });
      expect(Math.abs(expected.loss / golden.loss - 1), 'not the loss of all').toBeGreaterThan(0.01);
    });

    test('every gradient', () => {
      for (const { name } of trainable) {
        const reference = float32(gradient(`${name}_grad`));
        expect(relativeError(trained[`${name}_grad`]!, reference), name).toBeLessThan(1e-5);
      }
    });
  });

  test('all of the removed patches: the very graph without the option', () => {
    const { predicted: _, ...whole } = options;
    const all = { ...options, predicted: patches - kept };
    expect(printGraph(trainingGraph(config, batch, all))).toBe(
      printGraph(trainingGraph(config, batch, whole)),
    );
  });

  test('the decoder has 1 + K + predicted tokens, and the head those predicted', () => {
    const nodes = nodesOf(graph.outputs.map(({ value }) => value));
    const shapes = nodes.flatMap(({ outputs }) => outputs.map(({ shape }) => shape.join()));
    const tokens = 1 + kept + predicted;
    expect(shapes).toContain([batch, tokens, config.decoderEmbedDim].join());
    expect(shapes).not.toContain([batch, 1 + patches, config.decoderEmbedDim].join());
    expect(shapes).toContain([batch * predicted, config.patchSize ** 2 * 3].join());
    const heads = config.decoderNumHeads;
    expect(nodes.flatMap(({ outputs }) => outputs.map(({ shape }) => shape))).toContainEqual(
      expect.arrayContaining([tokens, config.decoderEmbedDim / heads]),
    );
  });

  test('a patch after those predicted changes nothing', async () => {
    const given: Arrays = { ...golden.inputs, ...lossScale };
    const ids = golden.shuffles.map((shuffle) => [
      ...shuffle.slice(0, kept + predicted),
      ...shuffle.slice(kept + predicted).reverse(),
    ]);
    const reversed: Arrays = { ...given, ids_shuffle: BigInt64Array.from(ids.flat(), BigInt) };
    const [first, second] = [await runGraph(runtime, graph, given), await runGraph(runtime, graph, reversed)];
    expect(second).toEqual(first);
    expect(reversed['ids_shuffle']).not.toEqual(given['ids_shuffle']);
  });

  test('the evaluation graph takes no notice', () => {
    const [some, all] = [{ ...options }, { kept, normPixLoss }].map((o) =>
      printGraph(evalGraph(config, batch, o)),
    );
    expect(some).toBe(all);
  });

  test('the graph of onnxruntime-training has as many tokens', () => {
    const other = accumulatingTrainingGraph(taskOf(config, { kept, predicted, normPixLoss }), batch, 1);
    const text = printGraph(other);
    expect(text).toContain(`float32[${batch}, ${1 + kept + predicted}, ${config.decoderEmbedDim}]`);
    expect(text).not.toContain(`float32[${batch}, ${1 + patches}, ${config.decoderEmbedDim}]`);
  });
});

test.each([
  [147, 1, 147],
  [147, 0.75, 110],
  [147, 0.5, 74],
  [147, 0.25, 37],
  [12, 0.01, 1],
  [1, 0.5, 1],
  [1, 1, 1],
])('of %i removed patches at the ratio %f: %i predicted', (removed, ratio, predicted) => {
  expect(predictedCount(removed, ratio)).toBe(predicted);
});
