import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ort from 'onnxruntime-node';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import '../support/allclose.js';
import { mae, maeError, maeOk, maeOneLine } from '../support/cli.js';
import {
  filesOf,
  latestFolder,
  readLog,
  readTensorFile,
  type TensorFile,
  tinyModel,
} from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';
import {
  digest,
  readPthDigests,
  readTransformersGolden,
  weightsPath,
} from '../weights/foreign/weight-goldens.js';

const { folder, images, args } = await trainingFiles(16);
const run = join(folder, 'run');
let saved: TensorFile;

beforeAll(async () => {
  await maeOk(args(run, { 'max-steps': 3 }));
  saved = readTensorFile(join(latestFolder(run), 'model.safetensors'));
});

/** `mae export`; returns the folder. */
async function exported(checkpoint: string, format: string, name: string): Promise<string> {
  const output = join(folder, name);
  const { stdout } = await maeOk(['export', '--checkpoint', checkpoint, '--format', format, '-o', output]);
  expect(stdout).toBe(`wrote ${join(output, 'config.json')} and ${join(output, 'model.safetensors')}\n`);
  return output;
}

const tensorsIn = (path: string) => readTensorFile(join(path, 'model.safetensors')).tensors;
const configIn = (path: string) => JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));

describe.each(['hf', 'mae'])('to %s and back', (format) => {
  test('the tensors are the same bytes', async () => {
    const there = await exported(run, format, `${format}-there`);
    const back = await exported(there, 'mae', `${format}-back`);
    const { metadata, tensors } = readTensorFile(join(back, 'model.safetensors'));
    expect([...tensors.keys()]).toEqual([...saved.tensors.keys()]);
    for (const [name, tensor] of tensors) expect(tensor, name).toEqual(saved.tensors.get(name));
    // and what is known of them: size, mask ratio, loss, steps
    expect(metadata).toEqual(saved.metadata);
    expect(configIn(back)).toEqual(tinyModel);
  });

  test('the same weights give the same files', async () => {
    const first = await exported(run, format, `${format}-first`);
    const second = await exported(run, format, `${format}-second`);
    expect(filesOf(second)).toEqual(filesOf(first));
  });
});

test('a folder of the published names is a --model and an --init', async () => {
  const folderOfIt = await exported(run, 'mae', 'mae-init');
  const output = join(folder, 'run-again');
  const given = { model: join(folderOfIt, 'config.json'), init: folderOfIt };
  await maeOk(args(output, { 'max-steps': 1, ...given }));
  const losses = readLog(output, 'train').map(({ loss }) => loss as number);
  const fresh = readLog(run, 'train')[0]!['loss'] as number;
  expect(losses[0]).not.toBe(fresh);
});

test('hf: the names that every transformers reads, and a config.json of its fields', async () => {
  const output = await exported(run, 'hf', 'hf-names');
  const names = [...tensorsIn(output).keys()];
  const golden = [...tensorsIn(weightsPath('hf-4')).keys()].filter((name) => !name.includes('layer.1.'));
  expect(names.sort()).toEqual(golden.sort());
  const { metadata } = readTensorFile(join(output, 'model.safetensors'));
  expect(metadata['format']).toBe('pt'); // transformers refuses a file without it
  expect(configIn(output)).toMatchObject({
    architectures: ['ViTMAEForPreTraining'],
    model_type: 'vit_mae',
    hidden_size: 24,
    intermediate_size: 48,
    image_size: 16,
    patch_size: 4,
    layer_norm_eps: 1e-6,
    norm_pix_loss: true,
    mask_ratio: 0.75,
  });
  const query = tensorsIn(output).get('vit.encoder.layer.0.attention.attention.query.weight')!;
  const qkv = saved.tensors.get('blocks.0.attn.qkv.weight')!;
  expect(query).toEqual({ shape: [24, 24], data: qkv.data.slice(0, 24 * 24) });
});

test('hf of what transformers saved is what it saved', async () => {
  const output = await exported(weightsPath('hf-4'), 'hf', 'hf-again');
  const [got, wanted] = [tensorsIn(output), tensorsIn(weightsPath('hf-4'))];
  expect(got.size).toBe(wanted.size);
  for (const [name, tensor] of wanted) expect(got.get(name), name).toEqual(tensor);
  const fields = Object.entries(configIn(weightsPath('hf-4'))).filter(
    ([name]) => !/^(dtype|transformers_version)$/.test(name),
  );
  expect(configIn(output)).toMatchObject(Object.fromEntries(fields));
});

test('timm: the encoder, and how to build it', async () => {
  const output = await exported(run, 'timm', 'timm');
  const encoder = [...saved.tensors].filter(([name]) => !/^decoder|^mask_token/.test(name));
  expect([...tensorsIn(output)]).toEqual(encoder);
  expect(configIn(output)).toMatchObject({
    architecture: 'vit_base_patch16_224',
    num_classes: 0,
    global_pool: 'token',
    model_args: { img_size: 16, patch_size: 4, embed_dim: 24, depth: 1, num_heads: 2, mlp_ratio: 2 },
    pretrained_cfg: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  });
});

test('timm: what is written says how many heads it has', async () => {
  const output = await exported(run, 'timm', 'timm-read');
  const { stderr } = await maeOk([
    'export',
    '--checkpoint',
    output,
    '--format',
    'mae',
    '-o',
    join(folder, 'from-timm'),
  ]);
  expect(stderr).toMatch(/^\S+ has no decoder: the encoder alone is written\n$/);
  const { inputSize, patchSize, embedDim, depth, numHeads, mlpRatio } = tinyModel;
  const encoder = { inputSize, patchSize, embedDim, depth, numHeads, mlpRatio };
  expect(configIn(join(folder, 'from-timm'))).toMatchObject(encoder);
});

test('an encoder alone is exported alone, and says so', async () => {
  const output = join(folder, 'encoder-hf');
  const args = ['export', '--checkpoint', weightsPath('encoder-half.pth'), '-o', output];
  const { stderr } = await maeOk([...args, '--format', 'hf']);
  expect(stderr).toMatch(/encoder-half\.pth does not say how many heads its encoder has; 1 \(width \/ 64\)/);
  expect(stderr).toMatch(/encoder-half\.pth has no decoder: the encoder alone is written\n$/);
  expect(configIn(output).architectures).toEqual(['ViTMAEModel']);
  expect([...tensorsIn(output).keys()]).toContain('embeddings.cls_token');
  const back = await exported(output, 'mae', 'encoder-back');
  const { encoder } = readPthDigests();
  const digests = [...tensorsIn(back)].map(([name, { data }]) => [name, digest(data)]);
  expect(Object.fromEntries(digests)).toEqual(encoder);
});

const tolerance = 1e-5;
describe.each(['hf-5', 'hf-4'] as const)('a model that transformers saved: %s', (name) => {
  const golden = readTransformersGolden(name);
  const side = 32;

  test('has its loss in mae reconstruct', async () => {
    const paths = [0, 1].map((i) => join(folder, `${name}-${i}.png`));
    for (const [i, path] of paths.entries()) {
      const pixels = golden.images.subarray(i * side * side * 3, (i + 1) * side * side * 3);
      await sharp(pixels, { raw: { width: side, height: side, channels: 3 } })
        .png()
        .toFile(path);
    }
    const args = ['--checkpoint', weightsPath(name), '-o', join(folder, 'picture.png'), '--json'];
    const { stdout } = await maeOk(['reconstruct', ...paths, ...args]);
    const losses = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).loss as number);
    losses.forEach((loss, i) => {
      expect(Math.abs(loss / golden.losses[i]! - 1), `image ${i}`).toBeLessThan(tolerance);
    });
  });

  test('has its tokens in mae export-encoder', async () => {
    const path = join(folder, `${name}.onnx`);
    await maeOk(['export-encoder', '--checkpoint', weightsPath(name), '-o', path, '--pool', 'none']);
    const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
    const [mean, deviation] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ];
    const pixels = Float32Array.from({ length: 3 * side * side }, (_, i) => {
      const channel = Math.floor(i / side ** 2);
      return (golden.images[(i % side ** 2) * 3 + channel]! / 255 - mean[channel]!) / deviation[channel]!;
    });
    const input = new ort.Tensor('float32', pixels, [1, 3, side, side]);
    const outputs = await session.run({ pixel_values: input });
    const tokens = outputs['last_hidden_state']!.data as Float32Array;
    expect(tokens).toBeAllclose(golden.latent, { rtol: tolerance, atol: tolerance });
    await session.release();
  });
});

describe('pretrain --init', () => {
  test('of an encoder alone starts the decoder freshly, by its seed, and says so', async () => {
    const config = {
      ...tinyModel,
      embedDim: 64,
      numHeads: 1,
    };
    writeFileSync(join(folder, 'wide.json'), JSON.stringify(config));
    const begun = (output: string, seed: number) =>
      args(join(folder, output), {
        model: join(folder, 'wide.json'),
        init: weightsPath('encoder-half.pth'),
        'max-steps': 1,
        'warmup-epochs': 1,
        seed,
      });
    // the first step of a warm-up has a rate of 0: what is saved is what it began with
    const { stderr } = await maeOk(begun('init-0', 0));
    expect(stderr).toMatch(/encoder-half\.pth has no decoder: it starts fresh, from --seed\n/);
    await maeOk(begun('init-1', 1));
    const { encoder } = readPthDigests();
    const [first, other] = ['init-0', 'init-1'].map((name) => tensorsIn(latestFolder(join(folder, name))));
    for (const [name, expected] of Object.entries(encoder))
      expect(digest(first!.get(name)!.data)).toBe(expected);
    expect(other!.get('decoder_pred.weight')).not.toEqual(first!.get('decoder_pred.weight'));
  });

  test('of another input size computes the position tables', async () => {
    const output = join(folder, 'init-larger');
    const { stderr } = await maeOk(args(output, { init: run, 'input-size': 24, 'max-steps': 1 }));
    expect(stderr).toMatch(
      /pos_embed and decoder_pos_embed of .* are of another input size: those of 6 × 6 patches/,
    );
    const tensors = tensorsIn(latestFolder(output));
    expect(tensors.get('pos_embed')!.shape).toEqual([1, 37, 24]);
    expect(tensors.get('blocks.0.mlp.fc1.weight')).toEqual(saved.tensors.get('blocks.0.mlp.fc1.weight'));
  });
});

describe('what goes wrong is said in one line', () => {
  test('an encoder for a picture, a file that wants to be run, an old file', async () => {
    const image = join(images, 'none.png');
    for (const [name, message] of [
      ['encoder-half.pth', /expected an encoder and a decoder in .*, got an encoder alone/],
      ['system-2.pth', /^pickle: expected only tensors and containers .*\.system"; nothing of it was run/],
      ['legacy.pth', /old format of before torch 1\.6; save it again/],
    ] as const) {
      expect(await maeOneLine(['reconstruct', image, '--checkpoint', weightsPath(name)])).toMatch(message);
    }
  });

  test('a file in the place of the folder; an unknown format; no format', async () => {
    const path = join(folder, 'taken');
    writeFileSync(path, '');
    const args = ['export', '--checkpoint', run, '-o', path];
    expect(await maeOneLine([...args, '--format', 'hf'])).toMatch(
      /^output: expected a folder at .*, got a file/,
    );
    expect(await maeError([...args, '--format', 'onnx'])).toMatch(/format/);
    expect((await mae(args)).code).toBe(1);
  });

  test('a config.json that does not fit', async () => {
    const broken = join(folder, 'broken');
    cpSync(weightsPath('hf-5'), broken, { recursive: true });
    writeFileSync(join(broken, 'config.json'), '{"model_type": "vit_mae", ');
    const args = ['export', '--checkpoint', broken, '-o', join(folder, 'out'), '--format', 'mae'];
    expect(await maeOneLine(args)).toMatch(
      /config\.json: expected JSON, got .*; repair it, or move it elsewhere/,
    );
  });
});
