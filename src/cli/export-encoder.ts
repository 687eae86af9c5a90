import type { Options } from 'yargs';
import type { Pool } from '../artifact/graphs.js';
import { checkEncoder, type ExportCheck } from '../jobs/check-exported.js';
import { type EncoderFormat, encoderFormat, exportEncoder } from '../jobs/export-encoder.js';
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
import { type Arguments, text } from './flags.js';
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
  threads: threadsFlag,
  device: deviceFlag,
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  noteThreads(argv.threads);
  const device = chooseDevice(argv.device);
  const { output, threads } = argv;
  const pool = argv.pool as Pool;
  const format = encoderFormat(output, argv.format as EncoderFormat | undefined);
  const weights = await exportEncoder({ ...argv, pool, format }, note);
  print(`wrote ${output}`);
  if (format === 'safetensors') return;
  printCheck(await checkEncoder(output, weights, pool, { threads, device }));
}

export function printCheck({ name, shape, difference, largest }: ExportCheck): void {
  print(
    `${name} [${shape.join(', ')}]: largest difference from the evaluation graph ${difference.toExponential(1)} ` +
      `(values up to ${largest.toFixed(2)})`,
  );
}
