import type { Options } from 'yargs';
import type { Pool } from '../artifact/graphs.js';
import { embed } from '../jobs/embed.js';
import {
  checkpointFlag,
  encoderHeadsFlag,
  jsonFlag,
  labelsFlag,
  noteThreads,
  outputFlag,
  poolFlag,
  rescanFlag,
} from './common-flags.js';
import { type Arguments, text } from './flags.js';
import { ImageProgress } from './image-progress.js';
import { inferenceFlags, layerFlag } from './inference-flags.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: checkpointFlag,
  ...encoderHeadsFlag,
  'data-path': {
    type: 'string',
    demandOption: true,
    requiresArg: true,
    coerce: text('data-path'),
    describe: 'Folder of images, sub-folders too; a row each, in the order of their paths',
  },
  output: outputFlag(
    'File to write: .npy (names beside it, in .names.txt), .safetensors, .parquet or .csv, as it ends',
  ),
  pool: { ...poolFlag, describe: `${poolFlag.describe} (.npy and .safetensors)` },
  layer: layerFlag,
  labels: labelsFlag,
  rescan: rescanFlag,
  ...inferenceFlags,
  json: jsonFlag('Print one JSON object'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  noteThreads(argv.threads);
  const { output } = argv;
  const pool = argv.pool as Pool;
  const progress = new ImageProgress();
  const { shape, layer, skipped } = await embed({ ...argv, pool }, progress.update, progress.note).finally(
    () => progress.end(),
  );
  const [rows = 0] = shape;
  print(
    argv.json
      ? JSON.stringify({ output, rows, shape, pool, layer, skipped })
      : `wrote ${output}: [${shape.join(', ')}], ${pool} of block ${layer}`,
  );
  if (skipped === 0) return;
  note(`mae: ${skipped} of ${rows + skipped} images are not in ${output}`);
  process.exitCode = 1;
}
