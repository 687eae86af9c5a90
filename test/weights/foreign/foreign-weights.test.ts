/** Weights that other libraries saved, judged by what those libraries say they are and compute. */

import { copyFileSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { evaluationGraph, outputsOf } from '../../../src/artifact/graphs.js';
import { expandDefinitions } from '../../../src/compiler/lowering/expand.js';
import { encodeModel } from '../../../src/compiler/onnx/encode.js';
import { type ModelConfig, patchCount } from '../../../src/model/config.js';
import { maeTask } from '../../../src/model/mae.js';
import { encoderParameters, maeParameters, type ParameterSpec } from '../../../src/model/parameters.js';
import { sinCosPositions } from '../../../src/model/positions.js';
import { loadModelConfig, presetNames } from '../../../src/model/presets.js';
import { Runtime } from '../../../src/runtime/runtime.js';
import { Evaluator } from '../../../src/train/engine/evaluator.js';
import { UserError } from '../../../src/util/errors.js';
import { inferModel } from '../../../src/weights/foreign/infer-model.js';
import { loadInitialWeights } from '../../../src/weights/foreign/initial-weights.js';
import type { SourceTensor, WeightSource } from '../../../src/weights/foreign/weight-source.js';
import { loadWeights, type Weights } from '../../../src/weights/foreign/weights.js';
import { readTensorFile, type TensorFile, writeTensorFile } from '../../support/cli-files.js';
import { smallModel } from '../../support/small-model.js';
import { temporaryFolder } from '../../train/support.js';
import {
  digestsOf,
  readPthDigests,
  readTransformersGolden,
  type TransformersGolden,
  weightsPath,
} from './weight-goldens.js';

const transformersModel: ModelConfig = { ...smallModel, mlpRatio: 2 };

const publishedModel: ModelConfig = {
  inputSize: 16,
  patchSize: 4,
  embedDim: 64,
  depth: 1,
  numHeads: 1,
  decoderEmbedDim: 64,
  decoderDepth: 1,
  decoderNumHeads: 1,
  mlpRatio: 2,
};

async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('not refused'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as Error).message;
}

/** Losses of the golden's images under its masks, by our evaluation graph. */
async function losses(weights: Weights, golden: TransformersGolden): Promise<number[]> {
  const { config, maskRatio, normPixLoss, parameters } = weights;
  const task = maeTask(config, { maskRatio, normPixLoss });
  const graph = evaluationGraph(task, 2);
  const description = { inputs: task.inputs(2), outputs: outputsOf(graph), parameters: task.parameters };
  const runtime = new Runtime({ threads: 1 });
  const evaluator = new Evaluator(runtime, encodeModel(expandDefinitions(graph)), description, (name) => {
    return parameters.get(name)!;
  });
  try {
    const ids = BigInt64Array.from(golden.ids.flat(), BigInt);
    await evaluator.run({ images: Uint8Array.from(golden.images), ids_shuffle: ids });
    return [...evaluator.outputs['image_loss']!];
  } finally {
    evaluator.release();
    runtime.release();
  }
}

describe('a folder of transformers', () => {
  test.each([
    ['hf-5', 'hf-5', 1e-6],
    ['hf-5-memory', 'hf-5', 1e-6],
    // its layer norms add 1e-12 where the paper's add 1e-6
    ['hf-4', 'hf-4', 1e-6],
    ['hf-4-sharded', 'hf-4', 1e-6],
    ['hf-4-bin', 'hf-4', 1e-6],
  ] as const)('%s has its tensors, its sizes and its loss', async (folder, goldenName, tolerance) => {
    const golden = readTransformersGolden(goldenName);
    const weights = await loadWeights(weightsPath(folder), maeParameters);
    expect(digestsOf(weights.parameters)).toEqual(golden.tensors);
    const is5 = goldenName === 'hf-5';
    const config = is5 ? transformersModel : { ...transformersModel, layerNormEps: 1e-12 };
    expect(weights).toMatchObject({ config, maskRatio: 0.75, normPixLoss: is5, step: 0 });
    const got = await losses(weights, golden);
    got.forEach((loss, i) => {
      expect(Math.abs(loss / golden.losses[i]! - 1), `image ${i}`).toBeLessThan(tolerance);
    });
    if (is5) expect(weights.notes).toEqual([]);
    else {
      // used as it is: the digests say so
      expect(weights.notes).toEqual([expect.stringMatching(/^pos_embed of .* is not the sine-cosine table/)]);
    }
  });

  test('of a ViTMAEModel is an encoder', async () => {
    const folder = weightsPath('hf-5-encoder');
    const weights = await loadWeights(folder, encoderParameters);
    const { tensors } = readTransformersGolden('hf-5');
    const names = encoderParameters(transformersModel).map(({ name }) => name);
    expect(digestsOf(weights.parameters)).toEqual(
      Object.fromEntries(names.map((name) => [name, tensors[name]])),
    );
    expect(weights.hasDecoder).toBe(false);
    expect(await refusal(loadWeights(folder, maeParameters))).toMatch(
      /expected an encoder and a decoder in .*, got an encoder alone; .*export-encoder and for pretrain --init/,
    );
  });

  /** The golden's folder with another config.json. */
  function changed(changes: Record<string, unknown>, name = 'hf-5'): string {
    const folder = temporaryFolder();
    cpSync(weightsPath(name), folder, { recursive: true });
    const path = join(folder, 'config.json');
    const config = JSON.parse(readFileSync(path, 'utf8'));
    writeFileSync(path, JSON.stringify({ ...config, ...changes }));
    return folder;
  }

  test.each([
    [{ model_type: 'bert' }, /expected a model of the type vit_mae or vit, got "bert"/],
    [{ hidden_act: 'relu' }, /expected "hidden_act" to be "gelu", as in the paper, got "relu"/],
    [{ num_channels: 1 }, /expected "num_channels" to be 3/],
    [{ qkv_bias: false }, /expected "qkv_bias" to be true/],
    [{ decoder_intermediate_size: 64 }, /MLPs of the same ratio in encoder and decoder, got 2 and 4/],
    [{ hidden_size: '24' }, /expected "hidden_size" to be a number/],
    [{ num_attention_heads: 5 }, /embedDim divisible by its 5 heads/],
    [{ mask_ratio: 1 }, /expected "mask_ratio" between 0 and 1, got 1/],
    [{ num_hidden_layers: 3 }, /blocks\.2\.norm1\.weight is missing/],
    [{ num_hidden_layers: 60000 }, /expected 60000 \+ 1 blocks in .*, got 50 tensors in all/],
    [{ image_size: 64 }, /pos_embed is \[1, 17, 24\] instead of \[1, 65, 24\]/],
    [{ image_size: [32, 48] }, /pos_embed is \[1, 17, 24\] instead of \[1, 25, 24\]/],
  ])('with %j in its config.json is refused', async (changes, message) => {
    expect(await refusal(loadWeights(changed(changes), maeParameters))).toMatch(message);
  });

  test('may write sizes as pairs, and leave out what is the default', async () => {
    const pairs = {
      image_size: [32, 32],
      patch_size: [8, 8],
      mask_ratio: undefined,
      norm_pix_loss: undefined,
    };
    const weights = await loadWeights(changed(pairs), maeParameters);
    expect(weights).toMatchObject({ config: transformersModel, maskRatio: 0.75, normPixLoss: false });
  });

  test('with fewer blocks than its file names those left over', async () => {
    const weights = await loadWeights(changed({ num_hidden_layers: 1 }), maeParameters);
    expect(weights.notes).toHaveLength(1);
    expect(weights.notes[0]).toMatch(
      /left unread: blocks\.1\..*; and 2 more|left unread: blocks\.1\..*and 2 more$/,
    );
  });

  test('whose index leads out of the folder is refused', async () => {
    const folder = changed({}, 'hf-4-sharded');
    const path = join(folder, 'model.safetensors.index.json');
    const index = readFileSync(path, 'utf8');
    for (const [from, to, message] of [
      ['model-00001-of-00003.safetensors', '../model-00001-of-00003.safetensors', 'got the file name'],
      ['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'got no tensor'],
      ['"weight_map"', '"weights"', 'got no weight_map'],
      ['{', '[', 'got no JSON'],
    ] as const) {
      writeFileSync(path, index.replaceAll(from, to));
      expect(await refusal(loadWeights(folder, maeParameters))).toContain(message);
    }
  });
});

describe('a .pth file', () => {
  test('of a training run has both parts, and its options', async () => {
    const weights = await loadWeights(weightsPath('training.pth'), maeParameters);
    expect(digestsOf(weights.parameters)).toEqual(readPthDigests().training);
    expect(weights).toMatchObject({ config: publishedModel, maskRatio: 0.6, normPixLoss: true, step: 0 });
    expect(weights.notes.map((note) => note.replace(/^.*training\.pth /, ''))).toEqual([
      'does not say how many heads its encoder has; 1 (width / 64) are used; --num-heads sets others',
      'does not say how many heads its decoder has; 1 (width / 64) are used; --decoder-num-heads sets others',
    ]);
  });

  test('of the encoder alone, in half precision, with prefixes', async () => {
    const weights = await loadWeights(weightsPath('encoder-half.pth'), encoderParameters);
    expect(digestsOf(weights.parameters)).toEqual(readPthDigests().encoder);
    // no preset has its sizes: the decoder is the paper's
    const paper = { decoderEmbedDim: 512, decoderDepth: 8, decoderNumHeads: 16 };
    expect(weights).toMatchObject({
      config: { ...publishedModel, ...paper },
      maskRatio: 0.75,
      normPixLoss: false,
    });
    expect(weights.hasDecoder).toBe(false);
    expect(await refusal(loadWeights(weightsPath('encoder-half.pth'), maeParameters))).toContain(
      'got an encoder alone',
    );
  });

  test('beside the config.json of something else is read without it', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'weights.pth');
    copyFileSync(weightsPath('training.pth'), path);
    writeFileSync(join(folder, 'config.json'), '{"model_type": "bert"}');
    expect((await loadWeights(path, maeParameters)).config).toEqual(publishedModel);
  });
});

describe('a bare safetensors file', () => {
  const whole = () => {
    const { tensors } = readTensorFile(join(weightsPath('hf-5-memory'), 'model.safetensors'));
    return new Map(tensors);
  };
  const written = (tensors: TensorFile['tensors'], name = 'bare.safetensors') => {
    const path = join(temporaryFolder(), name);
    mkdirSync(dirname(path), { recursive: true });
    writeTensorFile(path, { metadata: {}, tensors });
    return path;
  };

  /** A file that has the shapes of a model and says nothing else. */
  const shapesOf = (specs: readonly ParameterSpec[], path = 'x'): WeightSource => ({
    path,
    tensors: new Map(specs.map(({ name, shape }) => [name, { dtype: 'F32', shape }])),
    metadata: {},
    readFloat32: async () => new Float32Array(),
    close: async () => {},
  });

  test.each(presetNames())('of %s shows its sizes, its heads being those of the preset', (preset) => {
    const config = loadModelConfig(preset);
    const found = inferModel(shapesOf(maeParameters(config), preset), true);
    expect(found).toMatchObject({ config, maskRatio: 0.75, normPixLoss: false });
    // a width and depth for which presets have different heads
    if (config.embedDim !== 192 || config.depth !== 12) expect(found.notes).toEqual([]);
    const { notes, config: encoder } = inferModel(shapesOf(encoderParameters(config), preset), false);
    const { inputSize, patchSize, embedDim, depth, mlpRatio } = config;
    expect(encoder).toMatchObject({ inputSize, patchSize, embedDim, depth, mlpRatio });
    expect(encoder.numHeads).toBe(embedDim === 1280 ? 16 : embedDim / 64); // timm's models
    expect(notes).toHaveLength(embedDim === 192 && depth === 12 ? 1 : 0);
  });

  test('of the encoder of a preset has its decoder', () => {
    for (const name of ['mae_vit_tiny_patch16', 'mae_vit_tiny_patch2_32', 'mae_vit_base_patch16']) {
      const config = loadModelConfig(name);
      expect(inferModel(shapesOf(encoderParameters(config)), false).config).toEqual(config);
    }
    const lite = loadModelConfig('mae_vit_tiny_patch16_dec96d1b');
    const source = shapesOf(encoderParameters(lite));
    expect(inferModel(source, false, { numHeads: 12 })).toMatchObject({ config: lite, notes: [] });
  });

  test('of ViT-T has 3 heads as a guess that is said, 12 where its decoder is MAE-Lite’s, and as many as are given', () => {
    const [tiny, lite] = ['mae_vit_tiny_patch16', 'mae_vit_tiny_patch16_dec96d1b'].map(loadModelConfig);
    const encoder = shapesOf(encoderParameters(tiny!), 'e.pth');
    expect(inferModel(encoder, false).notes).toEqual([
      'e.pth does not say how many heads its encoder has; 3 are used, as in mae_vit_tiny_patch16, not 12 as in ' +
        'mae_vit_tiny_patch16_dec96d1b; --num-heads sets others',
    ]);
    expect(inferModel(shapesOf(maeParameters(lite!), 'w.pth'), true).notes).toEqual([
      'w.pth does not say how many heads its encoder has; 12 are used, as in mae_vit_tiny_patch16_dec96d1b, not 3 as in ' +
        'mae_vit_tiny_patch16; --num-heads sets others',
    ]);
    const given = inferModel(shapesOf(maeParameters(tiny!)), true, { numHeads: 6, decoderNumHeads: 2 });
    expect(given).toMatchObject({ config: { ...tiny, numHeads: 6, decoderNumHeads: 2 }, notes: [] });
  });

  test('of a width that is no multiple of 64 needs heads, of the decoder only where it is read', () => {
    const sizes = { embedDim: 72, numHeads: 3, decoderEmbedDim: 40, decoderNumHeads: 5 };
    const config = { ...loadModelConfig('mae_vit_nano_patch8_64'), ...sizes };
    const source = shapesOf(maeParameters(config), 'w.pth');
    expect(() => inferModel(source, true)).toThrow(
      /how many heads its encoder of width 72 has.*give --num-heads/,
    );
    expect(() => inferModel(source, true, { numHeads: 3 })).toThrow(
      /how many heads its decoder of width 40 has.*give --decoder-num-heads/,
    );
    expect(inferModel(source, true, { numHeads: 3 }, false).config).toMatchObject({
      embedDim: 72,
      numHeads: 3,
    });
    expect(inferModel(source, true, { numHeads: 3, decoderNumHeads: 5 })).toMatchObject({
      config,
      notes: [],
    });
    expect(() => inferModel(source, true, { numHeads: 5 })).toThrow(
      '--num-heads: expected a divisor of 72, the width of the encoder in w.pth, got 5',
    );
  });

  test('of a preset at another input size, and without its position tables', () => {
    const config = { ...loadModelConfig('mae_vit_base_patch16'), inputSize: 96 };
    const source = shapesOf(maeParameters(config));
    const tensors = source.tensors as Map<string, SourceTensor>;
    expect(inferModel(source, true).config).toEqual(config);
    tensors.delete('pos_embed');
    expect(inferModel(source, true).config.inputSize).toBe(224);
    tensors.set('pos_embed', { dtype: 'F32', shape: [1, 8, 768] });
    expect(() => inferModel(source, true)).toThrow('to be [1, 1 + side², width], got [1, 8, 768]');
    tensors.delete('blocks.3.norm1.weight');
    for (const name of [...tensors.keys()]) if (name.startsWith('blocks.3.')) tensors.delete(name);
    tensors.delete('pos_embed');
    expect(() => inferModel(source, true)).toThrow('expected blocks.3 in x, got none');
  });

  test('beside a config.json of transformers is that model', async () => {
    const path = join(weightsPath('hf-5-memory'), 'model.safetensors');
    expect((await loadWeights(path, maeParameters)).config).toEqual(transformersModel);
  });

  test('of sizes that no preset has, and without a multiple of 64, is refused', async () => {
    expect(await refusal(loadWeights(written(whole()), maeParameters))).toMatch(
      /to say how many heads its encoder of width 24 has, got neither a description, nor the sizes of a preset, nor a multiple of 64/,
    );
  });

  test('of another model is refused with names of its tensors', async () => {
    const tensors = new Map([['fc.weight', { shape: [2], data: new Float32Array(2) }]]);
    expect(await refusal(loadWeights(written(tensors), maeParameters))).toMatch(
      /expected patch_embed\.proj\.weight in .*, got 1 other tensors \(fc\.weight\)/,
    );
  });

  test('without position tables gets the fixed ones', async () => {
    const folder = temporaryFolder();
    copyFileSync(join(weightsPath('hf-5'), 'config.json'), join(folder, 'config.json'));
    const tensors = whole();
    tensors.delete('vit.embeddings.position_embeddings');
    writeTensorFile(join(folder, 'model.safetensors'), { metadata: {}, tensors });
    const { parameters, notes } = await loadWeights(folder, maeParameters);
    expect(parameters.get('pos_embed')).toEqual(sinCosPositions(4, 4, 24));
    expect(notes).toEqual([]);
  });

  test('without the values of a block names them', async () => {
    const folder = temporaryFolder();
    copyFileSync(join(weightsPath('hf-5'), 'config.json'), join(folder, 'config.json'));
    const tensors = whole();
    tensors.delete('vit.layers.1.attention.v_proj.weight');
    writeTensorFile(join(folder, 'model.safetensors'), { metadata: {}, tensors });
    expect(await refusal(loadWeights(folder, maeParameters))).toMatch(
      /does not fit the model: the value part of blocks\.1\.attn\.qkv\.weight is missing$/,
    );
  });
});

describe('what a run starts from', () => {
  test('is all of a whole model', async () => {
    const { parameters, notes } = await loadInitialWeights(weightsPath('training.pth'), publishedModel);
    expect(digestsOf(parameters)).toEqual(readPthDigests().training);
    expect(notes).toEqual([]);
  });

  test('is the encoder where there is no more; the decoder may be of any size', async () => {
    const model = { ...publishedModel, decoderEmbedDim: 16, decoderNumHeads: 2, decoderDepth: 3 };
    const { parameters, notes } = await loadInitialWeights(weightsPath('encoder-half.pth'), model);
    expect(digestsOf(parameters)).toEqual(readPthDigests().encoder);
    expect(notes).toEqual([expect.stringMatching(/encoder-half\.pth has no decoder: it starts fresh/)]);
  });

  test.each([
    ['larger', 24],
    ['of other sides', [8, 32] as const],
  ])('has no position tables for an input that is %s', async (_, inputSize) => {
    const model = { ...publishedModel, inputSize };
    const { parameters, notes } = await loadInitialWeights(weightsPath('training.pth'), model);
    const isSamePatchCount = patchCount(model) === 16;
    // a .pth does not say what its sides are: as many patches pass for the same
    expect(parameters.has('pos_embed')).toBe(isSamePatchCount);
    if (!isSamePatchCount) {
      expect(notes).toEqual([
        expect.stringMatching(/^pos_embed and decoder_pos_embed of .* 6 × 6 patches are computed$/),
      ]);
    }
    const described = { ...transformersModel, inputSize: [16, 64] as const };
    const other = await loadInitialWeights(weightsPath('hf-5'), described);
    expect(other.parameters.has('pos_embed')).toBe(false);
    expect(other.notes).toEqual([expect.stringMatching(/2 × 8 patches are computed$/)]);
  });

  test.each<[Partial<ModelConfig>, RegExp]>([
    [{ numHeads: 4 }, /numHeads is 3 instead of 4; give the --model of its sizes/],
    [{ decoderNumHeads: 4 }, /decoderNumHeads is 2 instead of 4/],
    [{ depth: 3 }, /blocks\.2\.norm1\.weight is missing/],
    [{ mlpRatio: 4 }, /blocks\.0\.mlp\.fc1\.weight is \[48, 24\] instead of \[96, 24\]/],
  ])('fits the model: %j does not', async (changes, message) => {
    const model = { ...transformersModel, ...changes };
    expect(await refusal(loadInitialWeights(weightsPath('hf-5'), model))).toMatch(message);
  });
});
