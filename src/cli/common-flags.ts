import { defaultPool } from '../artifact/default-pool.js';
import { precisions } from '../runtime/device-precisions.js';
import { threadsNote } from '../runtime/threads.js';
import { pretrainDefaults } from '../train/options.js';
import { choice, integer, text } from './flags.js';
import { note } from './print.js';

/** Flags that several commands share. */

export const checkpointFlag = {
  type: 'string',
  demandOption: true,
  requiresArg: true,
  coerce: text('checkpoint'),
  describe: 'Run, checkpoint or transformers directory, or a .safetensors or .pth file',
} as const;

/** Of commands that read an encoder; `loadWeights` takes what they are given as its last argument. */
export const encoderHeadsFlag = {
  'num-heads': {
    coerce: integer('num-heads', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Heads of the encoder, for weights whose file does not say (default: a guess, with a note)',
  },
} as const;

/** Of commands that read a decoder too. */
export const headsFlags = {
  ...encoderHeadsFlag,
  'decoder-num-heads': {
    coerce: integer('decoder-num-heads', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Heads of the decoder, likewise',
  },
} as const;

export const poolFlag = {
  choices: ['mean', 'cls', 'none'],
  default: defaultPool,
  coerce: text('pool'),
  describe:
    'Mean of the patch tokens, the best for frozen features of MAE (5 to 7 points of probe accuracy more than the class token), class token, or none: all tokens',
} as const;

export const rescanFlag = {
  type: 'boolean',
  default: pretrainDefaults.rescan,
  describe: 'Read the folders of images anew, not the index that is kept of them',
} as const;

export const threadsFlag = {
  default: pretrainDefaults.threads,
  defaultDescription: 'one a core that mae may use',
  coerce: integer('threads', { min: 0, max: 1024 }),
  requiresArg: true,
  describe: 'Threads of ONNX Runtime',
} as const;

export const numWorkersFlag = {
  default: pretrainDefaults.numWorkers,
  defaultDescription: 'one a core, at most 8',
  coerce: integer('num-workers', { min: 0, max: 256 }),
  requiresArg: true,
  describe: 'Threads that decode images',
} as const;

export const labelsFlag = {
  type: 'string',
  requiresArg: true,
  coerce: text('labels'),
  describe: 'CSV file with columns path,label (default: the sub-folders are the classes)',
} as const;

/** Says where `--threads` asks for more than there are. */
export function noteThreads(threads: number): void {
  const slow = threadsNote(threads);
  if (slow !== undefined) note(slow);
}

export const deviceFlag = {
  type: 'string',
  default: pretrainDefaults.device,
  requiresArg: true,
  coerce: text('device'),
  describe:
    'Where to run: cpu, cuda, cuda:N or webgpu; auto: CUDA, WebGPU on a GPU or the CPU, the first that starts',
} as const;

/** Flags of commands that train. */
export const computeFlags = {
  precision: {
    type: 'string',
    coerce: choice('precision', precisions),
    default: pretrainDefaults.precision,
    requiresArg: true,
    describe:
      'auto, fp32, tf32 (CUDA), fp16 or bf16: of products; auto takes bf16 on CUDA and on processors fast at it, else fp32',
  },
  kernels: {
    type: 'boolean',
    default: pretrainDefaults.kernels,
    describe: 'Use the custom operators where they were built; --no-kernels: ONNX Runtime’s own alone',
  },
} as const;

/** Whether it is given decides, so it has no default of yargs'. */
export function exifRotationFlag<D extends string>(defaultDescription: D) {
  return {
    type: 'boolean',
    defaultDescription,
    describe: 'Turn photographs upright, as their EXIF data says; --no-exif-rotation: as they are stored',
  } as const;
}

export function jsonFlag<D extends string>(describe: D) {
  return { type: 'boolean', default: false, describe } as const;
}

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
