import { expect, test } from 'vitest';
import { measureSpeeds, presetFacts } from '../../src/bench/models.js';

test('presets are listed by what they cost', () => {
  const facts = presetFacts();
  const byName = new Map(facts.map((preset) => [preset.name, preset]));
  expect(facts[0]!.name).toBe('mae_vit_nano_patch8_64');
  expect(facts.at(-1)!.name).toBe('mae_vit_huge_patch14');
  // the published counts, positions included; the encoder is timm's ViT-B/16 without a head and its norm's classifier
  const base = byName.get('mae_vit_base_patch16')!;
  expect([base.encoderParameters, base.parameters].map((count) => Math.round(count / 1e5) / 10)).toEqual([
    85.8, 111.9,
  ]);
  expect([base.visible, base.patches]).toEqual([49, 196]);
  // test/bench/measures.test.ts compares it with what the layers say
  expect(base.flops / 1e9).toBeCloseTo(57.7, 0);
});

test('the first preset is timed, whatever the time; what is left is estimated by its operations', async () => {
  const facts = presetFacts();
  const [nano, huge] = [facts[0]!, facts.at(-1)!];
  const options = { device: 'cpu', threads: 1, precision: 'fp32', kernels: true } as const;
  const [first, last] = await measureSpeeds([nano, huge], options, 0);
  expect(first).toMatchObject({ isMeasured: true });
  expect(first!.imagesPerSecond).toBeGreaterThan(1);
  expect(last!.isMeasured).toBe(false);
  expect(last!.imagesPerSecond * huge.flops).toBeCloseTo(first!.imagesPerSecond * nano.flops, -3);
});
