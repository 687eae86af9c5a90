import type { Options } from 'yargs';
import type { Pool } from '../artifact/graphs.js';
import type { Opset } from '../compiler/graph/op.js';
import { opsetVersion } from '../compiler/onnx/encode.js';
import type { ExportCheck } from '../jobs/check-exported.js';
import { type EncoderFormat, encoderFormat, exportEncoder, runtimeNeeded } from '../jobs/export-encoder.js';
import type { Positions } from '../model/any-size.js';
import { chooseDevice } from '../runtime/choose-device.js';
import {
  checkpointFlag,
  deviceFlag,
  encoderHeadsFlag,
  noteThreads,
  outputFlag,
  poolFlag,
  threadsFlag,
} from './common-flags.js';
import { type Arguments, choice, text } from './flags.js';
import { inputSizeFlag } from './model-flags.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: checkpointFlag,
  ...encoderHeadsFlag,
  output: outputFlag('File to write: .onnx or .safetensors'),
  pool: poolFlag,
  format: {
    choices: ['onnx', 'safetensors'],
    requiresArg: true,
    coerce: text('format'),
    describe: 'A model that runs, or its weights under their published names (default: as --output ends)',
  },
  'input-size': inputSizeFlag,
  'dynamic-size': {
    type: 'boolean',
    default: false,
    describe: 'Take pictures of any height and width that the patches divide',
  },
  positions: {
    type: 'string',
    requiresArg: true,
    coerce: choice<Positions>('positions', ['sincos', 'bicubic']),
    describe:
      'Of --dynamic-size: the sine-cosine table computed anew, or the stored one interpolated (default: as --input-size does: sincos, and bicubic where positions were trained)',
  },
  opset: {
    coerce: opset,
    requiresArg: true,
    defaultDescription: String(opsetVersion),
    describe: 'Version of ONNX’s operators: 17, for ONNX Runtime 1.12 and later, or 20, for 1.17 and later',
  },
  fp16: {
    type: 'boolean',
    default: false,
    describe: 'Weights and products in float16: half the size; input and output stay float32',
  },
  threads: threadsFlag,
  device: deviceFlag,
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  noteThreads(argv.threads);
  const device = chooseDevice(argv.device);
  const { output } = argv;
  const pool = argv.pool as Pool;
  const format = encoderFormat(output, argv.format as EncoderFormat | undefined);
  const checks = await exportEncoder({ ...argv, device, pool, format }, note);
  print(`wrote ${output}`);
  for (const check of checks) printCheck(check, checks.length > 1);
  if (format === 'onnx') print(runtimeNeeded(argv.opset));
}

function opset(value: unknown): Opset | undefined {
  const word = choice('opset', ['17', '20'])(typeof value === 'number' ? String(value) : value);
  return word === undefined ? undefined : (Number(word) as Opset);
}

export function printCheck({ name, shape, size, difference, largest }: ExportCheck, ofSizes = false): void {
  print(
    `${ofSizes ? `${size}: ` : ''}${name} [${shape.join(', ')}]: largest difference from the evaluation graph ${difference.toExponential(1)} ` +
      `(values up to ${largest.toFixed(2)})`,
  );
}
