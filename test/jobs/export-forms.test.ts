/** Forms of an exported encoder: any size, older opset, float16; and that a failed check leaves nothing. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import {
  type ExportEncoderOptions,
  exportEncoder,
  replaceChecked,
  runtimeNeeded,
} from '../../src/jobs/export-encoder.js';
import { chooseDevice } from '../../src/runtime/choose-device.js';
import '../support/allclose.js';
import { fileFolder, readTensorFile, writeTensorFile } from '../support/cli-files.js';
import { randomNormal } from '../support/random.js';
import { weightsPath } from '../weights/foreign/weight-goldens.js';

// what transformers saved: 32 pixels in patches of 8, width 24; its positions are no sine-cosine table
const trained = weightsPath('hf-4');
const folder = fileFolder();
const at = (name: string) => join(folder, name);
const ignore = () => {};

type Choices = Partial<ExportEncoderOptions>;

async function exported(name: string, choices: Choices): Promise<string> {
  const place = { threads: 1, device: chooseDevice('cpu') };
  const options = { ...place, checkpoint: trained, output: at(name), format: 'onnx', pool: 'none' } as const;
  await exportEncoder({ ...options, ...choices }, ignore);
  return at(name);
}

/** The first output for two pictures. */
async function run(path: string, height: number, width: number): Promise<ort.Tensor> {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const shape = [2, 3, height, width];
  const pixels = Float32Array.from(randomNormal(5, [2 * 3 * height * width]));
  const outputs = await session.run({ pixel_values: new ort.Tensor('float32', pixels, shape) });
  await session.release();
  return outputs[session.outputNames[0]!]!;
}

const decode = (path: string) => onnxProto.onnx.ModelProto.decode(readFileSync(path));
const operators = (path: string) => new Set(decode(path).graph!.node!.map(({ opType }) => opType));

/** The weights with the table of the paper. */
async function fixedPositions(): Promise<string> {
  const path = await exported('weights.safetensors', { format: 'safetensors' });
  const { metadata, tensors } = readTensorFile(path);
  const table = tensors.get('pos_embed')!;
  const other = new Map(tensors);
  const quarter = 24 / 4;
  const data = table.data.map((_, i) => {
    const [token, k] = [Math.floor(i / 24), i % 24];
    if (token === 0) return 0;
    const place = k < 12 ? (token - 1) % 4 : Math.floor((token - 1) / 4);
    const angle = place * 10000 ** (-(k % quarter) / quarter);
    return Math.floor(k / quarter) % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  });
  other.set('pos_embed', { shape: table.shape, data });
  writeTensorFile(at('fixed.safetensors'), { metadata, tensors: other });
  return at('fixed.safetensors');
}

describe('--dynamic-size', () => {
  const sizes = [
    [32, 32],
    [16, 40],
    [56, 48],
  ] as const;

  test.each(['bicubic', 'sincos'] as const)('%s: is the static export of each size', async (positions) => {
    const checkpoint = positions === 'sincos' ? await fixedPositions() : trained;
    const path = await exported(`any-${positions}.onnx`, { checkpoint, dynamicSize: true });
    const info = decode(path);
    expect(info.metadataProps!.find(({ key }) => key === 'mae.positions')!.value).toBe(positions);
    expect(
      info.graph!.input![0]!.type!.tensorType!.shape!.dim!.map(
        ({ dimParam, dimValue }) => dimParam || Number(dimValue),
      ),
    ).toEqual(['batch', 3, 'height', 'width']);
    for (const [height, width] of sizes) {
      const fixed = await exported('fixed.onnx', { checkpoint, inputSize: [height, width] });
      const [got, wanted] = [await run(path, height, width), await run(fixed, height, width)];
      expect(got.dims).toEqual(wanted.dims);
      expect(got.data as Float32Array).toBeAllclose(wanted.data as Float32Array, { rtol: 1e-5, atol: 1e-5 });
    }
  });

  test('bicubic may be asked for of a fixed table, which is then no longer the one computed anew', async () => {
    const checkpoint = await fixedPositions();
    const computed = await run(await exported('a.onnx', { checkpoint, dynamicSize: true }), 56, 48);
    const path = await exported('b.onnx', { checkpoint, dynamicSize: true, positions: 'bicubic' });
    expect((await run(path, 56, 48)).data).not.toBeAllclose(computed.data as Float32Array, {
      rtol: 0,
      atol: 1e-2,
    });
    const [own, same] = [await run(path, 32, 32), await run(at('a.onnx'), 32, 32)];
    expect(own.data as Float32Array).toBeAllclose(same.data as Float32Array, { rtol: 1e-4, atol: 1e-4 });
  });

  test.each(['mean', 'cls'] as const)('pools as the static export does: %s', async (pool) => {
    const path = await exported('pooled.onnx', { pool, dynamicSize: true, opset: 17, fp16: false });
    const fixed = await exported('fixed.onnx', { pool, inputSize: [16, 40] });
    const [got, wanted] = [await run(path, 16, 40), await run(fixed, 16, 40)];
    expect(got.dims).toEqual([2, 24]);
    expect(got.data as Float32Array).toBeAllclose(wanted.data as Float32Array, { rtol: 1e-5, atol: 1e-5 });
  });
});

describe('--opset 17', () => {
  test('has no operator of later versions, and the numbers of opset 20', async () => {
    const [old, current] = [
      await exported('17.onnx', { opset: 17, pool: 'mean' }),
      await exported('20.onnx', { pool: 'mean' }),
    ];
    expect(
      [decode(old), decode(current)].map(({ opsetImport, irVersion }) => [
        Number(opsetImport![0]!.version),
        Number(irVersion),
      ]),
    ).toEqual([
      [17, 8],
      [20, 9],
    ]);
    expect(operators(current).has('Gelu')).toBe(true);
    expect(operators(old).has('Gelu')).toBe(false);
    const mean = decode(old).graph!.node!.find(({ opType }) => opType === 'ReduceMean')!;
    expect(mean.input).toHaveLength(1); // axes are an attribute
    const [got, wanted] = [await run(old, 32, 32), await run(current, 32, 32)];
    expect(got.data as Float32Array).toBeAllclose(wanted.data as Float32Array, { rtol: 1e-6, atol: 1e-6 });
  });

  test('what is needed is said', () => {
    expect(runtimeNeeded(17)).toBe('needs ONNX Runtime 1.12 or later (opset 17)');
    expect(runtimeNeeded()).toBe('needs ONNX Runtime 1.17 or later (opset 20)');
  });
});

describe('--fp16', () => {
  test('stores matrices in half the bytes, gives float32 near float32’s', async () => {
    const [half, whole] = [await exported('half.onnx', { fp16: true }), await exported('whole.onnx', {})];
    const { graph } = decode(half);
    const typeOf = (name: string) => graph!.initializer!.find((each) => each.name === name)!.dataType;
    const { FLOAT, FLOAT16 } = onnxProto.onnx.TensorProto.DataType;
    expect(typeOf('blocks.0.mlp.fc1.weight')).toBe(FLOAT16);
    expect(typeOf('norm.weight')).toBe(FLOAT); // read by what computes in float32
    const [got, wanted] = [await run(half, 32, 32), await run(whole, 32, 32)];
    expect(got.type).toBe('float32');
    expect(got.data as Float32Array).toBeAllclose(wanted.data as Float32Array, { rtol: 0, atol: 2e-2 });
    expect(got.data).not.toEqual(wanted.data);
  });

  test('refuses weights that it cannot hold', async () => {
    const { metadata, tensors } = readTensorFile(
      await exported('large.safetensors', { format: 'safetensors' }),
    );
    tensors.get('blocks.0.mlp.fc1.weight')!.data[3] = 1e5;
    writeTensorFile(at('large.safetensors'), { metadata, tensors });
    await expect(exported('never.onnx', { checkpoint: at('large.safetensors'), fp16: true })).rejects.toThrow(
      /^float16: expected weights up to 65504 in .*, got 100000 in blocks\.0\.mlp\.fc1\.weight/,
    );
    expect(existsSync(at('never.onnx'))).toBe(false);
  });
});

test.each<[Choices, RegExp]>([
  [{ format: 'safetensors', output: at('x.safetensors'), fp16: true }, /^--fp16: expected a file of ONNX/],
  [{ positions: 'bicubic' }, /^--positions: expected --dynamic-size with it/],
  [{ dynamicSize: true, inputSize: 64 }, /^--input-size: expected one size or any/],
  [
    { dynamicSize: true, positions: 'sincos' },
    /^--positions: expected bicubic for .* positions were trained .* got sincos/,
  ],
])('%o is refused', async (choices, message) => {
  await expect(exported('never.onnx', choices)).rejects.toThrow(message);
  expect(existsSync(at('never.onnx'))).toBe(false);
});

test('a failed check leaves the folder as it was, and one that passes puts all files in place', async () => {
  const place = at('place');
  mkdirSync(place);
  writeFileSync(join(place, 'model.onnx'), 'before');
  const write = async (path: string) => {
    writeFileSync(path, 'new');
    writeFileSync(`${path}.data`, 'weights');
    return [path, `${path}.data`];
  };
  const bad = replaceChecked(join(place, 'model.onnx'), write, () => Promise.reject(new Error('differs')));
  await expect(bad).rejects.toThrow(/^differs$/);
  expect(readdirSync(place)).toEqual(['model.onnx']);
  expect(readFileSync(join(place, 'model.onnx'), 'utf8')).toBe('before');
  const seen = await replaceChecked(join(place, 'model.onnx'), write, async (path) =>
    readFileSync(path, 'utf8'),
  );
  expect(seen).toBe('new');
  expect(readdirSync(place).sort()).toEqual(['model.onnx', 'model.onnx.data']);
  expect(readFileSync(join(place, 'model.onnx'), 'utf8')).toBe('new');
});
