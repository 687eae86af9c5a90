import type { Options } from 'yargs';
import { exifRotationDefault } from '../data/decode/orientation.js';
import { inferenceDefaults } from '../jobs/inference-options.js';
import { deviceFlag, exifRotationFlag, numWorkersFlag, threadsFlag } from './common-flags.js';
import { integer } from './flags.js';
import { inputSizeFlag } from './model-flags.js';

/** Of commands that run an encoder over folders of images. */
export const inferenceFlags = {
  'input-size': inputSizeFlag,
  'batch-size': {
    default: inferenceDefaults.batchSize,
    coerce: integer('batch-size', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Images at a time',
  },
  'num-workers': numWorkersFlag,
  threads: threadsFlag,
  device: deviceFlag,
  'exif-rotation': exifRotationFlag(`${exifRotationDefault}`),
} as const satisfies Record<string, Options>;

export const layerFlag = {
  coerce: integer('layer', { min: 1 }),
  requiresArg: true,
  describe: 'Block whose output is taken, from 1, after the final norm (default: the last)',
} as const;
