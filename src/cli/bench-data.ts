import type { Options } from 'yargs';
import { benchmarkLoader } from '../bench/loader.js';
import { openImageFolder } from '../jobs/open-images.js';
import { snakeCase } from '../util/case.js';
import { formatSeconds, machineRows, type Row, report } from './bench-report.js';
import { jsonFlag, rescanFlag } from './common-flags.js';
import { type Arguments, integer, number } from './flags.js';
import { modelFlags } from './model-flags.js';
import { pretrainFlags } from './pretrain-flags.js';
import { note } from './print.js';

export const options = {
  'data-path': pretrainFlags['data-path'],
  rescan: rescanFlag,
  'input-size': {
    default: 224,
    coerce: integer('input-size', { min: 16, max: 65536 }),
    requiresArg: true,
    describe: 'Pixels of a side',
  },
  'batch-size': modelFlags['batch-size'],
  'num-workers': pretrainFlags['num-workers'],
  images: {
    coerce: integer('images', { min: 1 }),
    requiresArg: true,
    describe: 'End after this many images',
  },
  seconds: {
    default: 10,
    coerce: number('seconds', { min: 0, open: true }),
    requiresArg: true,
    describe: 'End after this long',
  },
  json: jsonFlag('One line of JSON instead of a table'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const { dataPath, rescan, inputSize, batchSize, numWorkers, images, seconds, json } = argv;
  const source = await openImageFolder(dataPath, { rescan, note });
  const result = await benchmarkLoader({
    source,
    inputSize,
    batchSize,
    workers: numWorkers,
    seconds: images === undefined ? seconds : Number.POSITIVE_INFINITY,
    ...(images !== undefined && { images }),
  });
  const stages = Object.entries(result.stages).map(
    ([stage, value]): Row => [snakeCase(stage), value, `${formatSeconds(value)} an image`],
  );
  const rows: Row[] = [
    ...machineRows(),
    ['data_path', dataPath],
    ['input_size', inputSize],
    ['batch_size', batchSize],
    ['num_workers', numWorkers],
    ['images', result.images],
    ['seconds', result.seconds, formatSeconds(result.seconds)],
    ['images_per_second', result.imagesPerSecond, result.imagesPerSecond.toPrecision(4)],
    ['stage_seconds_per_image', Object.fromEntries(stages.map(([name, value]) => [name, value]))],
    ...(json ? [] : stages),
  ];
  report(rows, json);
}
