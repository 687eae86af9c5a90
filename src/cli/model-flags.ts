import type { Options } from 'yargs';
import type { ModelConfig } from '../model/config.js';
import { presetNames } from '../model/presets.js';
import { pretrainDefaults } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { integer, number, text } from './flags.js';

export const inputSizeFlag = {
  coerce: inputSize,
  requiresArg: true,
  describe: 'Pixels: 224, or height and width: 224x160 (default: the model’s)',
} as const;

/** The presets without what is the same in all names. */
function shortNames(): string {
  return presetNames()
    .map((name) => name.replace(/^mae_vit_/, ''))
    .join(', ');
}

/** Flags that shape the graphs; `pretrain` and `build-artifacts` share them. */
export const modelFlags = {
  model: {
    type: 'string',
    default: pretrainDefaults.model,
    coerce: text('model'),
    describe: `Preset (mae models tells of them: ${shortNames()}), or a JSON file with the same fields`,
  },
  'input-size': inputSizeFlag,
  'batch-size': {
    default: pretrainDefaults.batchSize,
    coerce: integer('batch-size', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Images in a micro-batch',
  },
  'accum-iter': {
    default: pretrainDefaults.accumIter,
    coerce: integer('accum-iter', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Micro-batches in a step',
  },
  'mask-ratio': {
    default: pretrainDefaults.maskRatio,
    coerce: number('mask-ratio', { min: 0, max: 1, open: true }),
    requiresArg: true,
    describe: 'Share of patches removed',
  },
  'predict-ratio': {
    default: pretrainDefaults.predictRatio,
    coerce: number('predict-ratio', { min: 0, max: 1, open: 'min' }),
    requiresArg: true,
    describe: 'Share of the removed patches that the decoder predicts in training, drawn anew each step',
  },
  'norm-pix-loss': {
    type: 'boolean',
    default: pretrainDefaults.normPixLoss,
    describe: 'Targets are patches normalised by their own mean and deviation',
  },
  'grad-checkpointing': {
    type: 'boolean',
    default: pretrainDefaults.gradCheckpointing,
    describe:
      'Keep only the input of each transformer block and compute the rest again: less memory, more time',
  },
} as const satisfies Record<string, Options>;

/** `224`, `224x160`, or what a configuration file may hold: 224, [224, 160]. */
function inputSize(value: unknown): ModelConfig['inputSize'] | undefined {
  if (value === undefined) return undefined;
  const sides = (Array.isArray(value) ? value : String(value).split('x')).map(Number);
  if (sides.length > 2 || !sides.every((side) => Number.isSafeInteger(side) && side > 0)) {
    throw new UserError(
      `--input-size: expected pixels such as 224, or height and width such as 224x160, got ${JSON.stringify(value)}`,
    );
  }
  const [height, width] = sides as [number, number?];
  return width === undefined || width === height ? height : [height, width];
}
