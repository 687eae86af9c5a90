import type { Options } from 'yargs';
import { webModels, webOpset } from '../artifact/export-web.js';
import type { ExportFormat } from '../jobs/check-export.js';
import { exportModel } from '../jobs/export.js';
import { runtimeNeeded } from '../jobs/export-encoder.js';
import { exportWeb, exportWebDefaults } from '../jobs/export-web.js';
import { formatMegabytes, percent, type WebModel } from '../jobs/web/model-card.js';
import { UserError } from '../util/errors.js';
import {
  checkpointFlag,
  deviceFlag,
  headsFlags,
  noteThreads,
  numWorkersFlag,
  outputFlag,
  threadsFlag,
} from './common-flags.js';
import { printCheck } from './export-encoder.js';
import { type Arguments, choice, integer, text } from './flags.js';
import { ImageProgress } from './image-progress.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: checkpointFlag,
  ...headsFlags,
  format: {
    choices: ['hf', 'mae', 'timm', 'web'],
    demandOption: true,
    requiresArg: true,
    coerce: text('format'),
    describe:
      'hf: a folder of transformers’ ViTMAE, or ViTForImageClassification; mae: the published names; timm: the encoder or the classifier for timm; web: the encoder for transformers.js, transformers’ ViTModel and ONNX Runtime',
  },
  output: outputFlag(
    'Folder to write: config.json, model.safetensors, and preprocessor_config.json of ViTForImageClassification; of web also onnx/ and a model card',
  ),
  pool: {
    type: 'string',
    requiresArg: true,
    defaultDescription: exportWebDefaults.pool,
    coerce: choice('pool', ['mean', 'cls']),
    describe: 'Of web: pooler_output, the mean of the patch tokens or the class token',
  },
  'train-path': {
    type: 'string',
    requiresArg: true,
    coerce: text('train-path'),
    describe:
      'Of web, with --val-path: folder of pictures, a sub-folder each class, by which the smaller models are judged as mae evaluate does',
  },
  'val-path': {
    type: 'string',
    requiresArg: true,
    coerce: text('val-path'),
    describe: 'Of web: folder of pictures with the same sub-folders, whose classes are asked for',
  },
  'batch-size': {
    default: exportWebDefaults.batchSize,
    coerce: integer('batch-size', { min: 1, max: 65536 }),
    requiresArg: true,
    describe: 'Of web: pictures at a time',
  },
  'num-workers': numWorkersFlag,
  threads: threadsFlag,
  device: deviceFlag,
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const format = argv.format as ExportFormat;
  if (format === 'web') return runWeb(argv);
  for (const [flag, value] of [
    ['pool', argv.pool],
    ['train-path', argv.trainPath],
    ['val-path', argv.valPath],
  ]) {
    if (value === undefined) continue;
    throw new UserError(`--${flag}: expected --format web with it, got ${format}; leave it out`);
  }
  const files = await exportModel({ ...argv, format }, note);
  print(`wrote ${files.slice(0, -1).join(', ')} and ${files.at(-1)}`);
}

async function runWeb(argv: Arguments<typeof options>): Promise<void> {
  if (argv.decoderNumHeads !== undefined) {
    throw new UserError(
      '--decoder-num-heads: expected none for --format web, which writes the encoder; leave it out',
    );
  }
  noteThreads(argv.threads);
  const { pool = exportWebDefaults.pool } = argv;
  let progress = new ImageProgress();
  const { checks, models } = await exportWeb(
    { ...argv, pool },
    {
      stage: (name) => progress.note(`${name} …`),
      progress: (done, total) => {
        progress.update(done, total);
        if (done < total) return;
        progress.end();
        progress = new ImageProgress();
      },
      note: (line) => progress.note(line),
    },
  ).finally(() => progress.end());
  print(`wrote ${argv.output}`);
  for (const check of checks) printCheck(check);
  for (const model of models) print(modelLine(model, models[0]!));
  print(runtimeNeeded(webOpset));
}

/** Size and what was lost; accuracies with their distance from float32's in points. */
function modelLine({ precision, bytes, fidelity }: WebModel, whole: WebModel): string {
  const { cosine, knn, logreg } = fidelity;
  const accuracy = (name: string, share: number | undefined, of: number | undefined) => {
    if (share === undefined) return [];
    const points = 100 * (share - of!);
    const lost = precision === 'fp32' ? '' : ` (${points < 0 ? '−' : '+'}${Math.abs(points).toFixed(1)})`;
    return [`${name} ${percent(share)}${lost}`];
  };
  return [
    `${webModels[precision].padEnd(webModels.int8.length)}  ${formatMegabytes(bytes).padStart(9)}`,
    ...(precision === 'fp32'
      ? []
      : [`cosine with float32 ${cosine.mean.toFixed(5)}, at least ${cosine.smallest.toFixed(5)}`]),
    ...accuracy('kNN', knn, whole.fidelity.knn),
    ...accuracy('logistic regression', logreg, whole.fidelity.logreg),
  ].join('  ');
}
