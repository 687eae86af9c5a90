import type { Options } from 'yargs';
import type { Pool } from '../artifact/graphs.js';
import { exifRotationDefault } from '../data/decode/orientation.js';
import { embed, embedDefaults } from '../jobs/embed.js';
import {
  checkpointFlag,
  deviceFlag,
  encoderHeadsFlag,
  exifRotationFlag,
  jsonFlag,
  labelsFlag,
  noteThreads,
  numWorkersFlag,
  outputFlag,
  poolFlag,
  rescanFlag,
  threadsFlag,
} from './common-flags.js';
import { type Arguments, integer, text } from './flags.js';
import { ImageProgress } from './image-progress.js';
import { inputSizeFlag } from './model-flags.js';
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
  layer: {
    coerce: integer('layer', { min: 1 }),
    requiresArg: true,
    describe: 'Block whose output is taken, from 1, after the final norm (default: the last)',
  },
  'input-size': inputSizeFlag,
  labels: labelsFlag,
  rescan: rescanFlag,
  'batch-size': {
    default: embedDefaults.batchSize,
    coerce: integer('batch-size', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Images at a time',
  },
  'num-workers': numWorkersFlag,
  threads: threadsFlag,
  device: deviceFlag,
  'exif-rotation': exifRotationFlag(`${exifRotationDefault}`),
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
