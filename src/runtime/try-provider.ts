/** `node try-provider.js NAME`: exits 0 if a session starts with that execution provider, else prints why not. */
import { messageOf } from '../util/errors.js';
import { OnnxRuntimeApi } from './api.js';
import { identityModel } from './identity-model.js';

const [name] = process.argv.slice(2);
try {
  const api = new OnnxRuntimeApi();
  const environment = api.create('CreateEnv', 3, 'mae');
  const options = api.create('CreateSessionOptions');
  if (name === 'CUDA') {
    const cudaOptions = api.create('CreateCUDAProviderOptions');
    api.call('SessionOptionsAppendExecutionProvider_CUDA_V2', options, cudaOptions);
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
  console.log(messageOf(error).split('\n')[0]);
  process.exitCode = 1;
}
