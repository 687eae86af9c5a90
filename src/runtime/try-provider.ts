/**
 * `node try-provider.js NAME [float16]`: exits 0 if a session starts with that execution provider, else prints why not.
 * With `float16`: if WebGPU computes in it.
 */
import { messageOf } from '../util/errors.js';
import { OnnxRuntimeApi } from './api.js';
import { explainCudaError } from './cuda/errors.js';
import { cudaProvider } from './cuda/provider.js';
import { float16Model, identityModel } from './identity-model.js';
import { findLibrary } from './library.js';
import { Runtime } from './runtime.js';
import { webgpuDevice } from './webgpu/device.js';

const [name, type] = process.argv.slice(2);
try {
  if (type === 'float16') await computeInFloat16();
  else startSession();
} catch (error) {
  const explained = name === 'CUDA' ? explainCudaError(error, findLibrary()) : error;
  // what to do stands in lines of its own: see doctor
  console.log(
    messageOf(explained)
      .split('\n')[0]!
      .replace(/^--device[^:]*: /, '')
      .split('; ')[0],
  );
  process.exitCode = 1;
}

function startSession(): void {
  const api = new OnnxRuntimeApi();
  const environment = api.create('CreateEnv', 3, 'mae');
  const options = api.create('CreateSessionOptions');
  if (name === 'CUDA') {
    cudaProvider({ deviceId: 0 }).append(api, options);
  } else if (name !== 'CPU') {
    api.call('SessionOptionsAppendExecutionProvider', options, name!, null, null, 0);
  }
  const model = identityModel();
  const session = api.create('CreateSessionFromArray', environment, model, model.byteLength, options);
  // a process that ends with a session open may crash in ONNX Runtime's destructors
  api.release('ReleaseSession', session);
  api.release('ReleaseSessionOptions', options);
  api.release('ReleaseEnv', environment);
}

async function computeInFloat16(): Promise<void> {
  const runtime = new Runtime({ device: webgpuDevice() });
  const y = new Float32Array(1);
  const session = runtime.createSession(float16Model());
  const tensors = [runtime.tensor(Float32Array.of(1.5), [1]), runtime.tensor(y, [1])] as const;
  try {
    await session.bind({ x: tensors[0] }, { y: tensors[1] }).run();
  } finally {
    session.release();
    for (const tensor of tensors) tensor.release();
    runtime.release();
  }
  if (y[0] !== -1.5) throw new Error(`float16: expected -1.5, got ${y[0]}`);
}
