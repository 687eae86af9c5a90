/** No node of a graph that runs on a card may be one that the CUDA provider has no kernel for. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { encoderGraph } from '../../../src/artifact/exported-graphs.js';
import { featuresGraph } from '../../../src/artifact/graphs.js';
import { type Graph, type Node, nodesOf } from '../../../src/compiler/graph/graph.js';
import { type Lowering, lowerGraph } from '../../../src/compiler/lowering/lower.js';
import { opsetVersion } from '../../../src/compiler/onnx/encode.js';
import type { ModelConfig } from '../../../src/model/config.js';
import { adamWGraph } from '../../../src/model/optim/adamw-graph.js';
import { emaGraph } from '../../../src/model/optim/ema-graph.js';
import { larsDefaults } from '../../../src/model/optim/lars.js';
import { larsGraph } from '../../../src/model/optim/lars-graph.js';
import { encoderParameters } from '../../../src/model/parameters.js';
import { loadModelConfig } from '../../../src/model/presets.js';
import { cudaDevice } from '../../../src/runtime/cuda/device.js';
import { evalGraph, trainingGraph } from '../../support/mae-graphs.js';

const kernels = JSON.parse(
  readFileSync(new URL('../../goldens/cuda-kernels.json', import.meta.url), 'utf8'),
) as {
  readonly opset: number;
  readonly operators: Readonly<Record<string, readonly string[]>>;
};

/** What runs on the CPU all the same, `op:type`, with the reason; nothing so far. */
const allowed: Readonly<Record<string, string>> = {};

const { lacks } = cudaDevice(0);
/** What is asked of the training graph; the others are float32 in every precision. */
const precisions: Readonly<Record<string, Lowering>> = {
  fp32: { lacks },
  fp16: { lacks, graphPrecision: 'fp16' },
  bf16: { lacks, graphPrecision: 'bf16' },
};

function graphsOf(config: ModelConfig): Graph[] {
  const trained = encoderParameters(config).map((spec) => ({ ...spec, decays: true, lrScale: 0.5 }));
  const training = { kept: 4, normPixLoss: true, accumulate: false };
  return [
    trainingGraph(config, 2, training),
    trainingGraph(config, 2, { ...training, normPixLoss: false, accumulate: true }),
    trainingGraph(config, 2, { ...training, predicted: 3 }),
    trainingGraph(config, 2, { ...training, gradCheckpointing: true }),
    evalGraph(config, 2, { kept: 4, normPixLoss: true }),
    featuresGraph(config, 2, ['cls', 'mean', 'none']),
    ...(['cls', 'mean', 'none'] as const).map((pool) => encoderGraph(config, pool)),
    adamWGraph(64),
    larsGraph(trained, larsDefaults),
    emaGraph(64, 0.999),
  ];
}

/** What of a node has no kernel, as `op:type`. */
function lacking({ op, inputs, outputs }: Node): string[] {
  const types = kernels.operators[op] ?? [];
  // of a choice between two, the first input is the condition
  const data = (op as string) === 'Where' ? inputs[1]! : inputs[0]!;
  const needed = op === 'Cast' ? [data.type, outputs[0]!.type] : [data.type];
  return needed.filter((type) => !types.includes(type)).map((type) => `${op}:${type}`);
}

test('the table is that of the opset in use', () => {
  expect(kernels.opset).toBe(opsetVersion);
});

describe.each(Object.entries(precisions))('%s', (_, lowering) => {
  test.each(['mae_vit_nano_patch8_64', 'mae_vit_huge_patch14'])(
    'every node of %s has a CUDA kernel',
    (name) => {
      const graphs = graphsOf(loadModelConfig(name)).map((graph) =>
        lowerGraph(graph, graph.name === 'training_model' ? lowering : { lacks }),
      );
      const missing = new Set<string>();
      for (const { name: graph, outputs } of graphs)
        for (const node of nodesOf(outputs.map(({ value }) => value)))
          for (const kernel of lacking(node)) if (!(kernel in allowed)) missing.add(`${kernel} in ${graph}`);
      expect([...missing]).toEqual([]);
    },
  );
});

test('what has no kernel is named', () => {
  const value = { type: 'bfloat16', shape: [2], source: { kind: 'input', name: 'x' } } as const;
  expect(
    lacking({ id: 0, op: 'ReduceLogSumExp', inputs: [value], attributes: {}, outputs: [value] }),
  ).toEqual(['ReduceLogSumExp:bfloat16']);
  expect(lacking({ id: 0, op: 'AttentionGrad', inputs: [value], attributes: {}, outputs: [value] })).toEqual([
    'AttentionGrad:bfloat16',
  ]);
});
