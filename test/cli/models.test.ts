import { expect, test } from 'vitest';
import { maeOk } from '../support/cli.js';

test('mae models lists every preset with its sizes and what it is for', async () => {
  const { stdout } = await maeOk(['models']);
  expect(stdout).toMatch(
    /^mae_vit_nano_patch8_64 +64 px, 8 +192×6×3 +96×2×3 +2\.7, 3\.0 +16 of 64 +0\.374$/m,
  );
  expect(stdout).toMatch(
    /^mae_vit_large_patch16 +224 px, 16 +1024×24×16 +512×8×16 .*\n {2}The paper's, .*ImageNet/m,
  );
  for (const line of stdout.trimEnd().split('\n')) expect(line.length).toBeLessThan(120);
});

test('--json is one line of the same, and names no speed that was not measured', async () => {
  const { stdout, stderr } = await maeOk(['models', '--json']);
  expect(stderr).toBe('');
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  const { models } = JSON.parse(stdout);
  const lite = models.find(({ name }: { name: string }) => name === 'mae_vit_tiny_patch16_dec96d1b');
  expect(lite).toMatchObject({
    numHeads: 12,
    decoderEmbedDim: 96,
    decoderDepth: 1,
    patches: 196,
    visible: 49,
  });
  expect(lite.description).toContain('MAE-Lite');
  expect(lite).not.toHaveProperty('imagesPerSecond');
});
