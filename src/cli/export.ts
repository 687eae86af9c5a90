import type { Options } from 'yargs';
import type { ExportFormat } from '../jobs/check-export.js';
import { exportModel } from '../jobs/export.js';
import { checkpointFlag, headsFlags, outputFlag } from './common-flags.js';
import { type Arguments, text } from './flags.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: checkpointFlag,
  ...headsFlags,
  format: {
    choices: ['hf', 'mae', 'timm'],
    demandOption: true,
    requiresArg: true,
    coerce: text('format'),
    describe:
      'hf: a folder of transformers’ ViTMAE, or ViTForImageClassification; mae: the published names; timm: the encoder or the classifier for timm',
  },
  output: outputFlag(
    'Folder to write: config.json, model.safetensors, and preprocessor_config.json of ViTForImageClassification',
  ),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const format = argv.format as ExportFormat;
  const files = await exportModel({ ...argv, format }, note);
  print(`wrote ${files.slice(0, -1).join(', ')} and ${files.at(-1)}`);
}
