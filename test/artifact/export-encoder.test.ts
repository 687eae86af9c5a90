import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import ort from 'onnxruntime-node';
import { expect, test } from 'vitest';
import { writeEncoderModel } from '../../src/artifact/export-encoder.js';
import { encoderParameters } from '../../src/model/parameters.js';
import { float32 } from '../support/goldens.js';
import { readMaeGolden } from '../support/mae-golden.js';

test('the exported file holds its weights, says what it is and runs', async () => {
  const golden = readMaeGolden('mae-small');
  const { config } = golden;
  const parameters = new Map(
    encoderParameters(config).map(({ name }) => [name, float32(golden.tensor(name))]),
  );
  const folder = mkdtempSync(join(tmpdir(), 'mae-encoder-'));
  try {
    const path = join(folder, 'encoder.onnx');
    expect(await writeEncoderModel(path, config, parameters, { pool: 'cls', step: 12 })).toEqual([path]);
    expect(readdirSync(folder)).toEqual(['encoder.onnx']);

    const { metadataProps } = onnxProto.onnx.ModelProto.decode(readFileSync(path));
    const metadata = Object.fromEntries(metadataProps!.map(({ key, value }) => [key!, value!]));
    expect(metadata).toMatchObject({ 'mae.step': '12', 'mae.pool': 'cls', 'mae.preset': 'custom' });
    expect(JSON.parse(metadata['mae.model']!)).toEqual(config);
    expect(JSON.parse(metadata['mae.image_mean']!)).toEqual(golden.mean);
    expect(JSON.parse(metadata['mae.image_std']!)).toEqual(golden.std);

    const session = await ort.InferenceSession.create(path);
    const size = [2, 3, config.inputSize, config.inputSize];
    const pixels = new ort.Tensor('float32', new Float32Array(2 * 3 * config.inputSize ** 2), size);
    const { features } = await session.run({ pixel_values: pixels });
    await session.release();
    expect(features!.dims).toEqual([2, config.embedDim]);
    expect((features!.data as Float32Array).every(Number.isFinite)).toBe(true);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
