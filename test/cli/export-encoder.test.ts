import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import ort from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import '../support/allclose.js';
import { maeError, maeOk } from '../support/cli.js';
import { readTensorFile, type TensorFile, tinyModel, writeTensorFile } from '../support/cli-files.js';
import { randomNormal } from '../support/random.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, args } = await trainingFiles(16);
const run = join(folder, 'run');
const { inputSize: side, embedDim: width } = tinyModel;
const tokens = 1 + (side / tinyModel.patchSize) ** 2;
let saved: TensorFile;

beforeAll(async () => {
  await maeOk(args(run, { lr: 0.01, 'max-steps': 5, 'save-every': 100 }));
  saved = readTensorFile(join(run, 'checkpoints/step-5/model.safetensors'));
});

/** What belongs to the encoder alone. */
const encoderNames = () =>
  [...saved.tensors.keys()].filter((name) => !name.startsWith('decoder') && name !== 'mask_token').sort();

const exported = (name: string): string => join(folder, name);

/** Exports, with onnxruntime-node's session of the file. */
async function exportModel(
  pool: string,
): Promise<{ session: ort.InferenceSession; stdout: string; path: string }> {
  const path = exported(`${pool}.onnx`);
  const { stdout } = await maeOk(['export-encoder', '--checkpoint', run, '-o', path, '--pool', pool]);
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  return { session, stdout, path };
}

/** Normalised pixels: those of image i do not depend on how many there are. */
function pixelValues(count: number): ort.Tensor {
  const data = Float32Array.from(randomNormal(11, [count * 3 * side * side]));
  return new ort.Tensor('float32', data, [count, 3, side, side]);
}

async function encode(session: ort.InferenceSession, count: number): Promise<ort.Tensor> {
  const outputs = await session.run({ pixel_values: pixelValues(count) });
  return outputs[session.outputNames[0]!]!;
}

const numbers = ({ data }: ort.Tensor) => data as Float32Array;

describe.each([
  ['cls', 'features', [width]],
  ['mean', 'features', [width]],
  ['none', 'last_hidden_state', [tokens, width]],
] as const)('--pool %s', (pool, name, shape) => {
  test(`gives ${name} for any number of images`, async () => {
    const { session, stdout, path } = await exportModel(pool);
    expect(session.inputNames).toEqual(['pixel_values']);
    expect(session.outputNames).toEqual([name]);
    const one = await encode(session, 1);
    const three = await encode(session, 3);
    expect(one.dims).toEqual([1, ...shape]);
    expect(three.dims).toEqual([3, ...shape]);
    expect(numbers(three).slice(0, one.size)).toBeAllclose(numbers(one), { rtol: 1e-4, atol: 1e-5 });
    expect(numbers(three).every(Number.isFinite)).toBe(true);
    const [first, second] = [0, 1].map((i) => numbers(three).slice(i * one.size, (i + 1) * one.size));
    expect(second).not.toBeAllclose(first!, { rtol: 1e-2 });

    expect(stdout).toContain(`wrote ${path}`);
    const [, difference] = /largest difference from the evaluation graph (\S+)/.exec(stdout)!;
    expect(Number(difference)).toBeLessThan(1e-4);
  });
});

test('the class token and the mean are those of all tokens', async () => {
  const [all, cls, mean] = await Promise.all(
    ['none', 'cls', 'mean'].map(async (pool) => numbers(await encode((await exportModel(pool)).session, 3))),
  );
  const token = (image: number, index: number) =>
    all!.slice((image * tokens + index) * width, (image * tokens + index + 1) * width);
  for (let image = 0; image < 3; image++) {
    const row = (values: Float32Array) => values.slice(image * width, (image + 1) * width);
    expect(row(cls!)).toBeAllclose(token(image, 0), { rtol: 1e-5, atol: 1e-6 });
    const wanted = Array.from({ length: width }, (_, i) => {
      let sum = 0;
      for (let index = 1; index < tokens; index++) sum += token(image, index)[i]!;
      return sum / (tokens - 1);
    });
    expect(row(mean!)).toBeAllclose(wanted, { rtol: 1e-5, atol: 1e-5 });
  }
  // the final norm is applied: each token, undone by its scale and shift, has mean 0 and deviation 1
  const [scale, shift] = ['norm.weight', 'norm.bias'].map((name) => saved.tensors.get(name)!.data);
  const normalised = Array.from(token(0, 3), (value, i) => (value - shift![i]!) / scale![i]!);
  expect(normalised.reduce((sum, value) => sum + value, 0) / width).toBeCloseTo(0, 4);
  expect(normalised.reduce((sum, value) => sum + value ** 2, 0) / width).toBeCloseTo(1, 3);
});

test('the file holds the weights of the checkpoint and says how to use it', async () => {
  const { path } = await exportModel('cls');
  const { graph, metadataProps } = onnxProto.onnx.ModelProto.decode(readFileSync(path));
  const metadata = Object.fromEntries(metadataProps!.map(({ key, value }) => [key!, value!]));
  expect(metadata).toMatchObject({ 'mae.preset': 'custom', 'mae.step': '5', 'mae.pool': 'cls' });
  expect(JSON.parse(metadata['mae.model']!)).toEqual(tinyModel);
  expect(JSON.parse(metadata['mae.image_mean']!)).toEqual([0.485, 0.456, 0.406]);
  expect(JSON.parse(metadata['mae.image_std']!)).toEqual([0.229, 0.224, 0.225]);
  expect(Number(metadata['mae.rescale_factor'])).toBeCloseTo(1 / 255, 12);

  const initializers = new Map(graph!.initializer!.map((tensor) => [tensor.name!, tensor]));
  for (const name of encoderNames()) {
    const { shape, data } = saved.tensors.get(name)!;
    const found = initializers.get(name)!;
    expect(found.dims!.map(Number), name).toEqual(shape);
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    expect(Buffer.compare(Buffer.from(found.rawData!), bytes), name).toBe(0);
  }
  expect([...initializers.keys()].some((name) => name.startsWith('decoder') || name === 'mask_token')).toBe(
    false,
  );
});

test('without --pool it is the mean', async () => {
  const path = exported('default.onnx');
  await maeOk(['export-encoder', '--checkpoint', run, '-o', path]);
  await exportModel('mean');
  expect(readFileSync(path)).toEqual(readFileSync(exported('mean.onnx')));
});

test('--num-heads makes an encoder of weights that do not say; what they are written as says it', async () => {
  const [bare, path, again] = ['bare.safetensors', 'headed.safetensors', 'headed-again.safetensors'].map(
    exported,
  );
  writeTensorFile(bare!, { metadata: {}, tensors: saved.tensors });
  const args = ['export-encoder', '--checkpoint', bare!, '-o', path!];
  expect(await maeError(args)).toMatch(/its encoder of width 24 has.*give --num-heads/);
  expect(await maeError([...args, '--num-heads', '5'])).toMatch(/^--num-heads: expected a divisor of 24/);
  expect((await maeOk([...args, '--num-heads', '3'])).stderr).toBe('');
  const { stderr } = await maeOk(['export-encoder', '--checkpoint', path!, '-o', again!]);
  expect(stderr).toBe('');
  const [first, second] = [path!, again!].map(readTensorFile);
  expect(JSON.parse(second!.metadata['mae.model']!)).toMatchObject({ embedDim: 24, numHeads: 3 });
  expect(second!.tensors).toEqual(first!.tensors);
  expect(await maeError(['export-encoder', '--checkpoint', path!, '-o', again!, '--num-heads', '4'])).toMatch(
    /^--num-heads: expected 3, as .*headed\.safetensors says, got 4; leave it out$/,
  );
});

test('--format safetensors gives the same weights under their published names', async () => {
  const path = exported('encoder.safetensors');
  const args = ['export-encoder', '--checkpoint', join(run, 'checkpoints/step-5'), '-o', path];
  await maeOk([...args, '--format', 'safetensors', '--pool', 'mean']);
  const { metadata, tensors } = readTensorFile(path);
  expect([...tensors.keys()].sort()).toEqual(encoderNames());
  expect(encoderNames()).toEqual(
    expect.arrayContaining(['cls_token', 'pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.qkv.weight']),
  );
  for (const [name, tensor] of tensors) expect(tensor, name).toEqual(saved.tensors.get(name));
  expect(metadata).toMatchObject({ 'mae.step': '5', 'mae.pool': 'mean' });
});
