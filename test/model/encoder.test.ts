/** The exported encoder, run as its users run it, against the encoder of the training graph. */
import ort from 'onnxruntime-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encoderGraph } from '../../src/artifact/exported-graphs.js';
import { featuresGraph, type Pool } from '../../src/artifact/graphs.js';
import { expandDefinitions } from '../../src/compiler/lowering/expand.js';
import { encodeModel } from '../../src/compiler/onnx/encode.js';
import { patchCount } from '../../src/model/config.js';
import { encoderParameters } from '../../src/model/parameters.js';
import { Runtime } from '../../src/runtime/runtime.js';
import '../support/allclose.js';
import { goldenNumbers, maeGoldens, readMaeGolden } from '../support/mae-golden.js';
import { runGraph } from '../support/run-graph.js';

describe.each(maeGoldens)('%s', (name) => {
  const golden = readMaeGolden(name);
  const { config, batch, images } = golden;
  const { inputSize: side, embedDim: width } = config;
  const tokens = 1 + patchCount(config);
  let runtime: Runtime;
  let hidden: Float32Array;

  beforeAll(async () => {
    runtime = new Runtime({ threads: 1 });
    const results = await runGraph(runtime, featuresGraph(config, batch, ['none']), golden.inputs);
    hidden = results['none']!;
  });
  afterAll(() => runtime.release());

  /** uint8 [B, H, W, 3] → normalised float32 [count, 3, H, W]. */
  function pixelValues(count: number): Float32Array {
    const result = new Float32Array(count * 3 * side * side);
    for (let i = 0; i < result.length; i++) {
      const place = i % (side * side);
      const channel = Math.floor(i / (side * side)) % 3;
      const image = Math.floor(i / (3 * side * side));
      const byte = images[(image * side * side + place) * 3 + channel]!;
      result[i] = (byte / 255 - golden.mean[channel]!) / golden.std[channel]!;
    }
    return result;
  }

  async function encode(pool: Pool, count: number): Promise<Float32Array> {
    const initializers = encoderParameters(config).map((spec) => ({
      name: spec.name,
      shape: spec.shape,
      data: goldenNumbers(golden, spec.name),
    }));
    const bytes = encodeModel(expandDefinitions(encoderGraph(config, pool)), {
      initializers,
      batchAxis: 'batch',
    });
    const session = await ort.InferenceSession.create(bytes);
    expect(session.inputNames).toEqual(['pixel_values']);
    const pixels = new ort.Tensor('float32', pixelValues(count), [count, 3, side, side]);
    const outputs = await session.run({ pixel_values: pixels });
    await session.release();
    const output = outputs[pool === 'none' ? 'last_hidden_state' : 'features']!;
    expect(output.dims).toEqual(pool === 'none' ? [count, tokens, width] : [count, width]);
    return output.data as Float32Array;
  }

  const tolerance = { rtol: 1e-5, atol: 1e-5 };

  test.each([1, 3])('last_hidden_state of %d images', async (count) => {
    expect(await encode('none', count)).toBeAllclose(hidden.subarray(0, count * tokens * width), tolerance);
  });

  test.each([1, 3])('the class token of %d images', async (count) => {
    const expected = Array.from({ length: count }, (_, image) => {
      const start = image * tokens * width;
      return [...hidden.subarray(start, start + width)];
    });
    expect(await encode('cls', count)).toBeAllclose(expected.flat(), tolerance);
  });

  test.each([1, 3])('the mean of the patches of %d images', async (count) => {
    const expected = new Float64Array(count * width);
    for (let image = 0; image < count; image++) {
      for (let token = 1; token < tokens; token++) {
        for (let i = 0; i < width; i++) {
          expected[image * width + i]! += hidden[(image * tokens + token) * width + i]! / (tokens - 1);
        }
      }
    }
    expect(await encode('mean', count)).toBeAllclose(expected, tolerance);
  });
});
