import type { Options } from 'yargs';
import { checkModelConfig, type ModelConfig } from '../model/config.js';
import { loadModelConfig } from '../model/presets.js';
import { pretrainDefaults } from '../train/options.js';
import { integer, number, text } from './flags.js';

/** Flags that shape the graphs; `pretrain` and `build-artifacts` share them. */
export const modelFlags = {
  model: {
    type: 'string',
    default: pretrainDefaults.model,
    coerce: text('model'),
    describe: 'Preset of models/, or a JSON file with the same fields',
  },
  'input-size': {
    coerce: integer('input-size', { min: 1, max: 4096 }),
    requiresArg: true,
    describe: 'Height and width of the input in pixels (default: the model’s)',
  },
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
  'norm-pix-loss': {
    type: 'boolean',
    default: pretrainDefaults.normPixLoss,
    describe: 'Targets are patches normalised by their own mean and deviation',
  },
} as const satisfies Record<string, Options>;

/** The model that flags name, at the input size they ask for. */
export function modelOf({
  model,
  inputSize,
}: {
  model: string;
  inputSize?: number | undefined;
}): ModelConfig {
  const config = loadModelConfig(model);
  if (inputSize === undefined) return config;
  const resized = { ...config, inputSize };
  checkModelConfig(resized, '--input-size');
  return resized;
}
