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
    describe: 'hf: a folder of transformers’ ViTMAE; mae: the published names; timm: the encoder for timm',
  },
  output: outputFlag('Folder to write: config.json and model.safetensors'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const format = argv.format as ExportFormat;
  const files = await exportModel({ ...argv, format }, note);
  print(`wrote ${files.join(' and ')}`);
}
