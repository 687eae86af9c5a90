import type { Options } from 'yargs';
import { exportClassifier } from '../jobs/export-classifier.js';
import { type EncoderFormat, encoderFormat, runtimeNeeded } from '../jobs/export-encoder.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { deviceFlag, noteThreads, outputFlag, threadsFlag } from './common-flags.js';
import { printCheck } from './export-encoder.js';
import { type Arguments, text } from './flags.js';
import { inputSizeFlag } from './model-flags.js';
import { options as predictOptions } from './predict.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: predictOptions.checkpoint,
  output: outputFlag('File to write: .onnx or .safetensors'),
  format: {
    choices: ['onnx', 'safetensors'],
    requiresArg: true,
    coerce: text('format'),
    describe: 'A model that runs, or its weights under timm’s names (default: as --output ends)',
  },
  'input-size': inputSizeFlag,
  threads: threadsFlag,
  device: deviceFlag,
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  noteThreads(argv.threads);
  const device = chooseDevice(argv.device);
  const { output } = argv;
  const format = encoderFormat(output, argv.format as EncoderFormat | undefined);
  const { classes, check } = await exportClassifier({ ...argv, device, format }, note);
  print(`wrote ${output}: ${classes.length} classes`);
  if (check === undefined) return;
  printCheck(check);
  print(runtimeNeeded());
}
