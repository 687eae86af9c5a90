import { join } from 'node:path';
import type { Options } from 'yargs';
import type { OperatorTime } from '../bench/profile.js';
import { median } from '../bench/statistics.js';
import { benchmarkStep, type StepBenchmark, type StepTimes } from '../bench/step.js';
import { writeSampleImages } from '../data/pictures/sample-images.js';
import { indexImageFolder } from '../data/sources/image-folder.js';
import type { ImageSource } from '../data/sources/source.js';
import { keepPeak } from '../jobs/known-peak.js';
import { checkMemory, formatGiB } from '../jobs/memory-estimate.js';
import { openImageFolder } from '../jobs/open-images.js';
import { prepare } from '../jobs/prepare.js';
import { maeTask } from '../model/mae.js';
import { modelOf } from '../model/presets.js';
import type { Device } from '../runtime/device.js';
import type { Compute } from '../train/engine/compute.js';
import { UserError } from '../util/errors.js';
import { withScratchFolder } from '../util/scratch-folder.js';
import { formatSeconds, machineRows, type Row, report } from './bench-report.js';
import { computeFlags, deviceFlag, jsonFlag, noteThreads, rescanFlag, threadsFlag } from './common-flags.js';
import { type Arguments, integer, text } from './flags.js';
import { modelFlags } from './model-flags.js';
import { pretrainFlags } from './pretrain-flags.js';
import { note } from './print.js';

export const options = {
  ...modelFlags,
  'batch-size': { ...modelFlags['batch-size'], default: 8 },
  steps: {
    default: 10,
    coerce: integer('steps', { min: 1, max: 1e6 }),
    requiresArg: true,
    describe: 'Steps that count, after two that do not',
  },
  'data-path': {
    type: 'string',
    coerce: text('data-path'),
    requiresArg: true,
    describe: 'Folder of images for the steps with data (default: sample images)',
  },
  rescan: rescanFlag,
  'num-workers': pretrainFlags['num-workers'],
  threads: threadsFlag,
  device: deviceFlag,
  ...computeFlags,
  profile: {
    type: 'boolean',
    default: false,
    describe: 'Also the time of each operator, from a few steps of their own',
  },
  json: jsonFlag('One line of JSON instead of a table'),
} as const satisfies Record<string, Options>;

type StepArguments = Arguments<typeof options>;

export async function run(argv: StepArguments): Promise<void> {
  const { steps, numWorkers, profile } = argv;
  noteThreads(argv.threads);
  const prepared = await prepare(argv, maeTask(modelOf(argv), argv));
  const { device, compute, artifacts } = prepared;
  checkMemory(artifacts.manifest, argv, device);
  const result = await withScratchFolder(async (scratch) => {
    const images = await openImages(argv, scratch);
    return benchmarkStep({ prepared, steps, images, numWorkers, scratch, profile });
  });
  await keepPeak(prepared, 1e9 * result.gemmPeakGflops);
  report(rowsOf(argv, device, compute, result), argv.json);
  if (!argv.json) {
    printOperators('training graph', result.trainingOperators);
    printOperators('optimizer', result.optimizerOperators);
  }
}

/** The folder that is given, or sample images: enough for two batches that differ. */
async function openImages(argv: StepArguments, scratch: string): Promise<ImageSource> {
  const given = argv.dataPath;
  if (given === undefined) {
    const folder = join(scratch, 'images');
    await writeSampleImages(folder, { count: Math.max(64, 2 * argv.batchSize) });
    return indexImageFolder(folder); // not kept in the user's cache
  }
  const images = await openImageFolder(given, {
    rescan: argv.rescan,
    note,
  });
  if (images.length >= argv.batchSize) return images;
  throw new UserError(
    `--data-path: expected at least ${argv.batchSize} images, one batch, got ${images.length} in ${given}; ` +
      'use a smaller --batch-size or more images',
  );
}

function rowsOf(argv: StepArguments, device: Device, compute: Compute, result: StepBenchmark): Row[] {
  const { withoutData, withData, gflops, gemmPeakGflops, peakRssBytes } = result;
  const images = argv.batchSize * argv.accumIter;
  const seconds = (key: string, value: number): Row => [key, value, formatSeconds(value)];
  const billions = (key: string, value: number): Row => [key, value, `${value.toFixed(1)} GFLOP/s`];
  const percent = (key: string, value: number): Row => [key, value, `${(100 * value).toFixed(1)} %`];
  const stepRows = ({ step }: StepTimes): Row[] => [
    seconds('median_step_seconds', median(step)),
    seconds('min_step_seconds', Math.min(...step)),
    ['images_per_second', images / median(step), (images / median(step)).toPrecision(4)],
  ];
  const dataRows: Row[] = [
    ...stepRows(withData),
    percent('data_wait_share', median(withData.data) / median(withData.step)),
  ];
  return [
    ...machineRows(result.onnxRuntime),
    ['model', argv.model],
    ['batch_size', argv.batchSize],
    ['accum_iter', argv.accumIter],
    ['mask_ratio', argv.maskRatio],
    ['predict_ratio', argv.predictRatio],
    ['grad_checkpointing', argv.gradCheckpointing],
    ['precision', compute.graphPrecision ?? compute.kernelPrecision ?? (compute.tf32 ? 'tf32' : 'fp32')],
    ['device', device.description],
    ['compute', compute.description],
    ['threads', argv.threads, argv.threads === 0 ? 'one a core' : String(argv.threads)],
    ['steps', argv.steps],
    ...stepRows(withoutData),
    seconds('median_forward_backward_seconds', median(withoutData.forwardBackward)),
    seconds('median_optimizer_seconds', median(withoutData.optimizer)),
    ['peak_rss_bytes', peakRssBytes, formatGiB(peakRssBytes)],
    ['matmul_flops', result.matmulFlops, `${(result.matmulFlops / 1e9).toFixed(1)} GFLOP a step`],
    billions('gflops', gflops),
    billions('gemm_peak_gflops', gemmPeakGflops),
    percent('gemm_peak_share', gflops / gemmPeakGflops),
    ['with_data', Object.fromEntries(dataRows.map(([key, value]) => [key, value]))],
    ...(argv.json
      ? operatorRows(result)
      : dataRows.map(([key, value, shown]): Row => [`with_data_${key}`, value, shown])),
  ];
}

function operatorRows({ trainingOperators, optimizerOperators }: StepBenchmark): Row[] {
  if (trainingOperators === undefined) return [];
  return [['operators', { training: trainingOperators, optimizer: optimizerOperators }]];
}

function printOperators(graph: string, operators: readonly OperatorTime[] | undefined): void {
  if (operators === undefined) return;
  console.log(
    `\n${`${graph}, by operator`.padEnd(34)}${'a step'.padStart(10)}${'share'.padStart(9)}     calls`,
  );
  for (const { operator, seconds, share, calls } of operators) {
    const time = formatSeconds(seconds).padStart(10);
    console.log(
      `${operator.padEnd(34)}${time}${`${(100 * share).toFixed(1)} %`.padStart(9)}${String(calls).padStart(10)}`,
    );
  }
}
