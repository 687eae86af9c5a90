/** Fine-tuning and the linear probe against timm's ViT with torch's autograd, all random numbers handed over. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { evaluationGraph, trainingGraph } from '../../src/artifact/graphs.js';
import { type Graph, nodesOf } from '../../src/compiler/graph/graph.js';
import { gradientName, nextName } from '../../src/compiler/training-names.js';
import { type FinetuneChoices, finetuneTask, linprobeTask } from '../../src/model/classifier.js';
import type { ModelConfig } from '../../src/model/config.js';
import { isTrained } from '../../src/model/parameters.js';
import type { Task } from '../../src/model/task.js';
import { Runtime } from '../../src/runtime/runtime.js';
import '../support/allclose.js';
import { float32, readGoldenJson, readGoldenTensors } from '../support/goldens.js';
import { type Arrays, inputName, runGraph } from '../support/run-graph.js';

interface Case {
  readonly pool: 'mean' | 'cls';
  readonly loss: number;
  readonly imageLoss: readonly number[];
  readonly labels: readonly number[];
}
type Sizes = Record<
  'image' | 'patch' | 'width' | 'depth' | 'heads' | 'mlpRatio' | 'classes' | 'batch',
  number
>;

const golden = readGoldenJson<
  Sizes & { smoothing: number; cases: Record<'mixup' | 'cutmix' | 'linprobe', Case> }
>('classifier');
const tensor = readGoldenTensors('classifier');
const config: ModelConfig = {
  inputSize: golden.image,
  patchSize: golden.patch,
  embedDim: golden.width,
  depth: golden.depth,
  numHeads: golden.heads,
  decoderEmbedDim: 16,
  decoderDepth: 1,
  decoderNumHeads: 2,
  mlpRatio: golden.mlpRatio,
};
const classes = Array.from({ length: golden.classes }, (_, i) => `class ${i}`);
const plain: FinetuneChoices = {
  classes,
  pool: 'mean',
  layerDecay: 1,
  smoothing: 0,
  hasDropPath: false,
  hasMix: false,
  hasErasing: false,
};
const published: FinetuneChoices = {
  ...plain,
  smoothing: golden.smoothing,
  hasDropPath: true,
  hasMix: true,
  hasErasing: true,
};

let runtime: Runtime;
beforeAll(() => {
  runtime = new Runtime({ threads: 1 });
});
afterAll(() => runtime.release());

/** Runs a graph on what the golden of a case has under the names of its inputs. */
async function run(name: string, graph: Graph, changed: Arrays = {}): Promise<Arrays<Float32Array>> {
  const inputs = graph.inputs.map((value) => {
    const input = inputName(value);
    if (input === 'loss_scale') return [input, Float32Array.of(1)] as const;
    return [input, changed[input] ?? tensor(`${name}.${input}`).data] as const;
  });
  return runGraph(runtime, graph, Object.fromEntries(inputs));
}

const training = (task: Task, gradCheckpointing = false) =>
  trainingGraph(task, { batchSize: golden.batch, accumulate: false, gradCheckpointing });

/** The most that a gradient may differ by: rounding, relative to its largest number. */
function expectGradient(got: Float32Array, name: string): void {
  const wanted = float32(tensor(name));
  const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(got, name).toBeAllclose(wanted, { rtol: 0, atol: 2e-5 * largest + 1e-8 });
}

describe.each(['mixup', 'cutmix'] as const)('fine-tuning with %s', (name) => {
  const { pool, loss, imageLoss } = golden.cases[name];
  const task = finetuneTask(config, { ...published, pool });

  test.each([false, true])('loss and every gradient are timm’s; blocks computed anew: %s', async (anew) => {
    const results = await run(name, training(task, anew));
    expect(results['loss']!).toBeAllclose([loss], { rtol: 1e-5 });
    for (const { name: parameter } of task.parameters) {
      const gradient = gradientName(parameter);
      expectGradient(results[gradient]!, `${name}.${gradient}`);
    }
  });

  test('evaluation has none of it', async () => {
    const results = await run(name, evaluationGraph(task, golden.batch));
    expect(results['logits']!).toBeAllclose(float32(tensor(`${name}.logits`)), { rtol: 1e-4, atol: 1e-5 });
    expect(results['image_loss']!).toBeAllclose(imageLoss, { rtol: 1e-4 });
  });
});

describe('the linear probe', () => {
  const task = linprobeTask(config, { classes, pool: 'cls' });

  test('loss, gradients and running statistics are torch’s', async () => {
    const results = await run('linprobe', training(task));
    expect(results['loss']!).toBeAllclose([golden.cases.linprobe.loss], { rtol: 1e-5 });
    for (const gradient of ['head.weight_grad', 'head.bias_grad'])
      expectGradient(results[gradient]!, `linprobe.${gradient}`);
    for (const buffer of ['head_norm.running_mean', 'head_norm.running_var']) {
      const wanted = float32(tensor(`linprobe.${nextName(buffer)}`));
      expect(results[nextName(buffer)]!, buffer).toBeAllclose(wanted, { rtol: 1e-4, atol: 1e-5 });
    }
  });

  test('evaluation reads the running statistics', async () => {
    const results = await run('linprobe', evaluationGraph(task, golden.batch));
    const wanted = float32(tensor('linprobe.logits'));
    expect(results['logits']!).toBeAllclose(wanted, { rtol: 1e-4, atol: 1e-4 });
  });

  test('the encoder’s backward pass is not computed', () => {
    expect(task.parameters.filter(isTrained).map(({ name }) => name)).toEqual(['head.weight', 'head.bias']);
    const graph = training(task);
    const ops = nodesOf(graph.outputs.map(({ value }) => value)).map(({ op }) => op);
    expect(ops.filter((op) => op === 'Attention')).toHaveLength(config.depth);
    expect(ops.filter((op) => /Grad/.test(op))).toEqual(['SoftmaxGrad']); // of the loss
    // and there is one where it is trained
    const tuned = training(finetuneTask(config, plain));
    const tunedOps = nodesOf(tuned.outputs.map(({ value }) => value)).map(({ op }) => op);
    expect(tunedOps.filter((op) => op === 'AttentionGrad')).toHaveLength(config.depth);
  });
});

test('top-1 and top-5 are the places of the target; equal logits and NaN are no success', async () => {
  const task = linprobeTask(config, { classes, pool: 'cls' });
  const graph = evaluationGraph(task, golden.batch);
  const zeros = new Float32Array(golden.classes * golden.width);
  const bias = (values: readonly number[]) => ({
    'head.weight': zeros,
    'head.bias': Float32Array.from(values),
    targets: Float32Array.from({ length: golden.batch * golden.classes }, (_, i) =>
      Number(i % golden.classes === [0, 1, 5, 6][Math.floor(i / golden.classes)]!),
    ),
  });
  const graded = await run('linprobe', graph, bias([7, 6, 5, 4, 3, 2, 1]));
  expect([...graded['top1']!]).toEqual([1, 0, 0, 0]);
  expect([...graded['top5']!]).toEqual([1, 1, 0, 0]);
  const equal = await run('linprobe', graph, bias([1, 1, 0, 0, 0, 0, 0]));
  expect([...equal['top1']!]).toEqual([0, 0, 0, 0]);
  const broken = await run('linprobe', graph, bias([Number.NaN, 1, 1, 1, 1, 1, 1]));
  expect([...broken['top5']!]).toEqual([0, 0, 0, 0]);
});

test('a batch brings what is used alone, and evaluation pixels and classes', () => {
  const names = (choices: Partial<FinetuneChoices>) =>
    finetuneTask(config, { ...plain, ...choices })
      .inputs(2)
      .map(({ name }) => name);
  expect(names({})).toEqual(['images', 'targets']);
  expect(names({ hasMix: true })).toEqual(['images', 'targets', 'mix']);
  expect(names({ hasErasing: true, hasDropPath: true })).toEqual([
    'images',
    'targets',
    'erasing',
    'drop_path',
  ]);
  const evaluated = finetuneTask(config, published).evaluationInputs!(2);
  expect(evaluated.map(({ name }) => name)).toEqual(['images', 'targets']);
});

test('decay and learning rates of layers are the published code’s', () => {
  const decay = 0.65;
  const { parameters } = finetuneTask(config, { ...plain, layerDecay: decay });
  const scales = new Map(parameters.map(({ name, lrScale = 1 }) => [name, lrScale]));
  expect(scales.get('cls_token')).toBe(decay ** 3);
  expect(scales.get('pos_embed')).toBe(decay ** 3);
  expect(scales.get('patch_embed.proj.weight')).toBe(decay ** 3);
  expect(scales.get('blocks.0.attn.qkv.weight')).toBe(decay ** 2);
  expect(scales.get('blocks.1.mlp.fc2.bias')).toBe(decay);
  expect(scales.get('fc_norm.weight')).toBe(1);
  expect(scales.get('head.weight')).toBe(1);
  const undecayed = parameters.filter(({ group }) => group === 'notDecayed');
  const vectors = parameters.filter(({ shape }) => shape.length === 1);
  expect(undecayed.map(({ name }) => name)).toEqual([
    'cls_token',
    'pos_embed',
    ...vectors.map(({ name }) => name),
  ]);
  expect(parameters.map(({ name }) => name)).not.toContain('norm.weight');
  const cls = finetuneTask(config, { ...plain, pool: 'cls' }).parameters.map(({ name }) => name);
  expect(cls).toContain('norm.weight');
  expect(cls).not.toContain('fc_norm.weight');
});
