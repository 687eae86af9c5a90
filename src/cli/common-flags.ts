import { pretrainDefaults } from '../train/options.js';
import { integer, text } from './flags.js';

/** Flags that several commands share. */

export const checkpointFlag = {
  type: 'string',
  demandOption: true,
  requiresArg: true,
  coerce: text('checkpoint'),
  describe: 'Run, checkpoint or transformers directory, or a .safetensors or .pth file',
} as const;

export const threadsFlag = {
  default: pretrainDefaults.threads,
  defaultDescription: 'one a core',
  coerce: integer('threads', { min: 0, max: 1024 }),
  requiresArg: true,
  describe: 'Threads of ONNX Runtime',
} as const;

export const deviceFlag = {
  type: 'string',
  default: pretrainDefaults.device,
  requiresArg: true,
  coerce: text('device'),
  describe: 'Where to run: cpu',
} as const;

/** `-o`, which has to be given. */
export function outputFlag<D extends string>(describe: D) {
  return {
    alias: 'o',
    type: 'string',
    demandOption: true,
    requiresArg: true,
    coerce: text('output'),
    describe,
  } as const;
}
