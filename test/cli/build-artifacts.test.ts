import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { expect, test } from 'vitest';
import { maeOk, maeOneLine, root } from '../support/cli.js';
import { fileFolder, filesOf } from '../support/cli-files.js';

const folder = fileFolder();
const graphs = ['training_model.onnx', 'eval_model.onnx', 'gradient_norm_model.onnx', 'optimizer_model.onnx'];

async function build(model: string, name: string, ...flags: string[]): Promise<string> {
  const output = join(folder, name);
  await maeOk(['build-artifacts', '--model', model, '-o', output, ...flags]);
  return output;
}

test('two processes write the same bytes', async () => {
  const flags = ['--batch-size', '3', '--accum-iter', '2', '--mask-ratio', '0.6'];
  const [first, second] = await Promise.all(
    ['first', 'second'].map((name) => build('mae_vit_nano_patch8_64', name, ...flags)),
  );
  expect(Object.keys(filesOf(first!)).sort()).toEqual([...graphs, 'manifest.json'].sort());
  expect(filesOf(second!)).toEqual(filesOf(first!));
  const other = await build('mae_vit_nano_patch8_64', 'other', ...flags.slice(0, -1), '0.75');
  expect(filesOf(other)['training_model.onnx']).not.toBe(filesOf(first!)['training_model.onnx']);
});

test('--predict-ratio: the same with 1 as without, and another training graph alone with less', async () => {
  const model = 'mae_vit_nano_patch8_64';
  const flags = ['--batch-size', '2'];
  for (const more of [[], ['--kernels'], ['--runtime', 'onnxruntime-training']]) {
    const [whole, one, half] = await Promise.all(
      [[], ['--predict-ratio', '1'], ['--predict-ratio', '0.5']].map((ratio, i) =>
        build(model, `predict-${more.at(-1)}-${i}`, ...flags, ...more, ...ratio),
      ),
    );
    const [all, some] = [filesOf(whole!), filesOf(half!)];
    expect(filesOf(one!)).toEqual(all);
    const changed = Object.keys(all).filter((name) => some[name] !== all[name]);
    expect(changed.filter((name) => name !== 'manifest.json')).toEqual(['training_model.onnx']);
  }
});

test('--grad-checkpointing: another training graph alone, that of mae’s own runtime', async () => {
  const model = 'mae_vit_nano_patch8_64';
  const [kept, again] = await Promise.all(
    [[], ['--grad-checkpointing']].map((flags, i) => build(model, `checkpointing-${i}`, ...flags)),
  );
  const [all, some] = [filesOf(kept!), filesOf(again!)];
  const changed = Object.keys(all).filter((name) => some[name] !== all[name]);
  expect(changed.sort()).toEqual(['manifest.json', 'training_model.onnx']);
  const manifest = JSON.parse(readFileSync(join(again!, 'manifest.json'), 'utf8'));
  expect(manifest.gradCheckpointing).toBe(true);
  const args = ['--runtime', 'onnxruntime-training', '--grad-checkpointing', '-o', join(folder, 'never')];
  expect(await maeOneLine(['build-artifacts', ...args])).toMatch(/^--grad-checkpointing: expected with/);
});

// parameters, fixed positions counted, in millions, as published; and depths
const presets: Record<string, { millions?: string; depth: number; decoderDepth: number }> = {
  mae_vit_nano_patch8_64: { depth: 6, decoderDepth: 2 },
  mae_vit_tiny_patch16: { depth: 12, decoderDepth: 4 },
  mae_vit_tiny_patch16_dec96d1b: { depth: 12, decoderDepth: 1 },
  mae_vit_tiny_patch2_32: { depth: 12, decoderDepth: 4 },
  mae_vit_small_patch16_dec256d8b: { depth: 12, decoderDepth: 8 },
  mae_vit_small_patch16_dec384d4b: { depth: 12, decoderDepth: 4 },
  mae_vit_small_patch16: { depth: 12, decoderDepth: 4 },
  mae_vit_base_patch16: { millions: '111.9', depth: 12, decoderDepth: 8 },
  mae_vit_large_patch16: { millions: '329.5', depth: 24, decoderDepth: 8 },
  mae_vit_huge_patch14: { millions: '657.1', depth: 32, decoderDepth: 8 },
};

test('these are all the presets', () => {
  const files = readdirSync(join(root, 'models')).filter((file) => file.endsWith('.json'));
  expect(files.sort()).toEqual(
    Object.keys(presets)
      .map((name) => `${name}.json`)
      .sort(),
  );
});

test.each(Object.entries(presets))('%s builds', async (name, { millions, depth, decoderDepth }) => {
  const output = await build(name, name, '--batch-size', '2');
  const manifest = JSON.parse(readFileSync(join(output, 'manifest.json'), 'utf8'));
  const sizes = manifest.parameters.map(({ shape }: { shape: number[] }) => shape.reduce((a, b) => a * b, 1));
  const total = sizes.reduce((sum: number, size: number) => sum + size, 0);
  if (millions !== undefined) expect((total / 1e6).toFixed(1)).toBe(millions);

  for (const file of graphs) {
    const bytes = readFileSync(join(output, file));
    expect(manifest.files[file]).toEqual({
      bytes: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    });
  }
  const { graph, opsetImport } = onnxProto.onnx.ModelProto.decode(
    readFileSync(join(output, 'training_model.onnx')),
  );
  // ONNX's own operators alone, so that any ONNX Runtime takes them
  expect(opsetImport!.map(({ domain }) => domain)).toEqual(['']);
  expect(graph!.node!.every(({ domain }) => !domain)).toBe(true);
  const count = (op: string) => graph!.node!.filter(({ opType }) => opType === op).length;
  // two in each block and one after the encoder and the decoder; backward each makes its x̂ and its output once more
  const blocks = depth + decoderDepth;
  expect(count('LayerNormalization')).toBe(3 * (2 * blocks + 2));
  expect(count('Erf')).toBeGreaterThanOrEqual(blocks);
  expect(graph!.node!.length).toBeGreaterThan(40 * blocks);
  const inputs = new Set(graph!.input!.map((input) => input.name));
  const outputs = new Set(graph!.output!.map((output) => output.name));
  for (const { name: parameter, group } of manifest.parameters) {
    expect(inputs.has(parameter), parameter).toBe(true);
    expect(outputs.has(`${parameter}_grad`), parameter).toBe(group !== 'fixed');
  }
  expect(outputs.has('loss')).toBe(true);
});
