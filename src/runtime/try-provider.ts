/** `node try-provider.js NAME`: exits 0 if a session starts with that execution provider, else prints why not. */
import { messageOf } from '../util/errors.js';
import { OnnxRuntimeApi } from './api.js';
import { cudaProvider } from './cuda.js';
import { explainCudaError } from './cuda-errors.js';
import { findLibrary } from './library.js';

const [name] = process.argv.slice(2);
try {
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

/** An ONNX model of one Identity of a float32 [1], byte by byte, so that `runtime` needs no protobuf. */
function identityModel(): Uint8Array {
  const field = (number: number, bytes: number[]) => [(number << 3) | 2, bytes.length, ...bytes];
  const int = (number: number, value: number) => [number << 3, value];
  const text = (value: string) => [...Buffer.from(value)];
  const tensor = field(1, [...int(1, 1), ...field(2, field(1, int(1, 1)))]);
  const valueInfo = (value: string) => [...field(1, text(value)), ...field(2, tensor)];
  const node = [...field(1, text('x')), ...field(2, text('y')), ...field(4, text('Identity'))];
  const graph = [
    ...field(1, node),
    ...field(2, text('identity')),
    ...field(11, valueInfo('x')),
    ...field(12, valueInfo('y')),
  ];
  return Uint8Array.from([...int(1, 8), ...field(7, graph), ...field(8, int(2, 13))]);
}
