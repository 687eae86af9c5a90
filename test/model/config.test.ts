import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ModelConfig, parseModelConfig, patchCount } from '../../src/model/config.js';
import { keptCount } from '../../src/model/mask.js';
import { loadModelConfig, modelOf } from '../../src/model/presets.js';
import { UserError } from '../../src/util/errors.js';

const valid: ModelConfig = {
  inputSize: 32,
  patchSize: 8,
  embedDim: 48,
  depth: 2,
  numHeads: 3,
  decoderEmbedDim: 32,
  decoderDepth: 1,
  decoderNumHeads: 4,
  mlpRatio: 4,
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mae-config-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function errorOf(run: () => unknown): UserError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return error as UserError;
  }
  throw new Error('errorOf: expected an error');
}

describe('parseModelConfig', () => {
  test('returns the fields of a valid model', () => {
    expect(parseModelConfig({ ...valid }, 'model.json')).toEqual(valid);
    expect(parseModelConfig({ ...valid, mlpRatio: 2.5 }, 'model.json').mlpRatio).toBe(2.5);
    expect(parseModelConfig({ ...valid, layerNormEps: 1e-12 }, 'model.json').layerNormEps).toBe(1e-12);
    expect(parseModelConfig({ description: 'ours', ...valid }, 'model.json')).toEqual(valid);
    // the paper's own is not written down: the bytes of its models stay the same
    expect(parseModelConfig({ ...valid, layerNormEps: 1e-6 }, 'model.json')).toEqual(valid);
  });

  test.each<[string, unknown, RegExp]>([
    ['no object', [valid], /expected a JSON object with inputSize, patchSize/],
    ['null', null, /expected a JSON object/],
    ['an unknown field', { ...valid, patch_size: 8 }, /unknown field "patch_size"; expected inputSize/],
    [
      'a field left out',
      { ...valid, depth: undefined },
      /expected "depth" to be a positive number, got undefined/,
    ],
    ['a string', { ...valid, depth: '2' }, /expected "depth" to be a positive number, got "2"/],
    [
      'an epsilon that is none',
      { ...valid, layerNormEps: 0 },
      /expected "layerNormEps" to be a small positive/,
    ],
    ['zero', { ...valid, numHeads: 0 }, /expected "numHeads" to be a positive number, got 0/],
    ['a fraction', { ...valid, depth: 1.5 }, /expected "depth" to be a positive number, got 1.5/],
    ['a huge number', { ...valid, embedDim: 1e9 }, /expected "embedDim"/],
    [
      'images smaller than a patch',
      { ...valid, inputSize: 4 },
      /expected images of at least one patch \(8 px\), got an input size of 4/,
    ],
    [
      'a size that patches do not divide',
      { ...valid, inputSize: 30 },
      /expected an input size divisible by the patch size 8, got 30; use --input-size 32/,
    ],
    [
      'heads that do not divide',
      { ...valid, numHeads: 5 },
      /expected embedDim divisible by its 5 heads and by 4 .*, got 48/,
    ],
    [
      'a width without 2-D positions',
      { ...valid, decoderEmbedDim: 30, decoderNumHeads: 3 },
      /expected decoderEmbedDim divisible by its 3 heads and by 4 .*, got 30/,
    ],
    [
      'an MLP of a fractional width',
      { ...valid, mlpRatio: 1.01 },
      /expected mlpRatio × width to be whole, got 1.01/,
    ],
  ])('refuses %s', (_, value, message) => {
    const error = errorOf(() => parseModelConfig(value, 'model.json'));
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^model\.json: /);
  });
});

describe('loadModelConfig', () => {
  test('reads a file with the fields of a preset', () => {
    const path = join(folder, 'own.json');
    writeFileSync(path, JSON.stringify(valid));
    expect(loadModelConfig(path)).toEqual(valid);
  });

  test('names the presets where the model is unknown', () => {
    expect(errorOf(() => loadModelConfig('mae_vit_giant')).message).toMatch(
      /^--model: expected a JSON file or one of mae_vit_base_patch16, .*; got "mae_vit_giant"$/,
    );
  });

  test('says why a file cannot be read', () => {
    const path = join(folder, 'none.json');
    expect(errorOf(() => loadModelConfig(path)).message).toBe(
      `--model: expected a JSON file at ${path}, got nothing there; check the path`,
    );
  });

  test('says that a file is no JSON', () => {
    const path = join(folder, 'broken.json');
    writeFileSync(path, '{');
    expect(errorOf(() => loadModelConfig(path)).message).toContain(
      `--model: expected a JSON file at ${path}, got Expected`,
    );
  });
});

describe('modelOf', () => {
  test('is the preset, or the same at another input size', () => {
    const preset = loadModelConfig('mae_vit_nano_patch8_64');
    expect(modelOf({ model: 'mae_vit_nano_patch8_64' })).toEqual(preset);
    expect(modelOf({ model: 'mae_vit_nano_patch8_64', inputSize: [32, 64] })).toEqual({
      ...preset,
      inputSize: [32, 64],
    });
  });

  test('refuses a size into which the patches do not fit', () => {
    expect(errorOf(() => modelOf({ model: 'mae_vit_nano_patch8_64', inputSize: 65 })).message).toBe(
      '--input-size: expected an input size divisible by the patch size 8, got 65; use --input-size 64',
    );
  });
});

test('patches are counted in two directions, kept ones rounded down', () => {
  expect(patchCount(valid)).toBe(16);
  expect(patchCount({ ...valid, inputSize: 224, patchSize: 14 })).toBe(256);
  expect(keptCount(valid, 0.75)).toBe(4);
  expect(keptCount(valid, 0.5)).toBe(8);
  expect(keptCount(valid, 0.6)).toBe(6);
  expect(keptCount({ ...valid, inputSize: 224, patchSize: 16 }, 0.75)).toBe(49);
});
