import { describe, expect, test } from 'vitest';
import { initialize } from '../../src/model/initialize.js';
import { maeParameters } from '../../src/model/parameters.js';
import { sinCosPositions } from '../../src/model/positions.js';
import { loadModelConfig } from '../../src/model/presets.js';
import { sizeOf } from '../../src/util/shape.js';

const config = loadModelConfig('mae_vit_nano_patch8_64');
const specs = maeParameters(config);

function parameter(name: string, seed = 5): Float32Array {
  const index = specs.findIndex((spec) => spec.name === name);
  const target = new Float32Array(sizeOf(specs[index]!.shape)).fill(Number.NaN);
  initialize(target, specs[index]!, seed, index);
  return target;
}

function statistics(numbers: Float32Array) {
  const mean = numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
  const deviation = Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length);
  const largest = numbers.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return { mean, deviation, largest };
}

describe('initialize', () => {
  // √(6 / (fan in + fan out)); patches enter as one matrix [D, 3·p·p], qkv as one of [3D, D]
  test.each<[string, number]>([
    ['patch_embed.proj.weight', Math.sqrt(6 / (192 + 192))],
    ['blocks.3.attn.qkv.weight', Math.sqrt(6 / (192 + 576))],
    ['blocks.0.mlp.fc1.weight', Math.sqrt(6 / (192 + 768))],
    ['decoder_embed.weight', Math.sqrt(6 / (192 + 96))],
    ['decoder_blocks.1.mlp.fc2.weight', Math.sqrt(6 / (384 + 96))],
    ['decoder_pred.weight', Math.sqrt(6 / (96 + 192))],
    ['patch_embed.proj.bias', 1 / Math.sqrt(192)],
  ])('%s is uniform in ±%f', (name, bound) => {
    const numbers = parameter(name);
    const { mean, deviation, largest } = statistics(numbers);
    // four standard errors of the mean and of the deviation of a uniform distribution
    const error = 4 / Math.sqrt(numbers.length);
    expect(largest).toBeLessThanOrEqual(Math.fround(bound));
    expect(largest).toBeGreaterThan(0.95 * bound);
    expect(Math.abs(mean)).toBeLessThan((error * bound) / Math.sqrt(3));
    expect(Math.abs(deviation / (bound / Math.sqrt(3)) - 1)).toBeLessThan(error);
  });

  test('the two tokens are normal with a deviation of 0.02', () => {
    // 50 seeds: one token is too short to tell
    for (const name of ['cls_token', 'mask_token']) {
      const numbers = Float32Array.from(
        Array.from({ length: 50 }, (_, seed) => [...parameter(name, seed)]).flat(),
      );
      const { mean, deviation, largest } = statistics(numbers);
      expect(Math.abs(mean)).toBeLessThan((4 * 0.02) / Math.sqrt(numbers.length));
      expect(Math.abs(deviation / 0.02 - 1)).toBeLessThan(4 / Math.sqrt(2 * numbers.length));
      expect(largest).toBeGreaterThan(0.06);
    }
  });

  test('norms start at 1 and 0, biases at 0, and every number is set', () => {
    for (const { name } of specs) {
      const numbers = parameter(name);
      if (/norm\d?\.weight$/.test(name))
        expect(numbers, name).toEqual(new Float32Array(numbers.length).fill(1));
      else if (name.endsWith('.bias') && !name.startsWith('patch_embed')) {
        expect(numbers, name).toEqual(new Float32Array(numbers.length));
      } else {
        expect(numbers.every(Number.isFinite), name).toBe(true);
        expect(new Set(numbers).size, name).toBeGreaterThan(numbers.length / 20);
      }
    }
  });

  test('positions are the fixed table', () => {
    expect(parameter('pos_embed')).toEqual(sinCosPositions(8, 8, 192));
    expect(parameter('decoder_pos_embed')).toEqual(sinCosPositions(8, 8, 96));
  });

  test('is a pure function of the seed and the place of the parameter', () => {
    const weight = 'blocks.0.attn.proj.weight';
    expect(parameter(weight)).toEqual(parameter(weight));
    expect(parameter(weight, 6)).not.toEqual(parameter(weight));
    expect(parameter('blocks.1.attn.proj.weight')).not.toEqual(parameter(weight));
  });
});
