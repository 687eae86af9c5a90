import type { Options } from 'yargs';
import { evaluate, evaluateDefaults } from '../jobs/evaluate.js';
import { methods } from '../jobs/evaluation/judge.js';
import {
  checkpointFlag,
  encoderHeadsFlag,
  jsonFlag,
  labelsFlag,
  noteThreads,
  rescanFlag,
} from './common-flags.js';
import { rowLine, tableLines, verdictLines } from './evaluation-table.js';
import { type Arguments, choice, integer, list, text } from './flags.js';
import { ImageProgress } from './image-progress.js';
import { inferenceFlags, layerFlag } from './inference-flags.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: checkpointFlag,
  ...encoderHeadsFlag,
  'train-path': {
    type: 'string',
    demandOption: true,
    requiresArg: true,
    coerce: text('train-path'),
    describe: 'Folder of images whose classes are learnt, a sub-folder each class',
  },
  'val-path': {
    type: 'string',
    demandOption: true,
    requiresArg: true,
    coerce: text('val-path'),
    describe: 'Folder of images whose classes are asked for, with the same sub-folders',
  },
  method: {
    type: 'string',
    defaultDescription: methods.join(','),
    requiresArg: true,
    coerce: list('method', choice('method', methods)),
    describe: 'knn, logreg or both, with a comma between them',
  },
  shots: {
    type: 'string',
    defaultDescription: evaluateDefaults.shots.join(','),
    requiresArg: true,
    coerce: list('shots', integer('shots', { min: 1 })),
    describe: 'Labels a class of logistic regression with few; those that a class has not got are left out',
  },
  labels: labelsFlag,
  layer: layerFlag,
  seed: {
    default: evaluateDefaults.seed,
    coerce: integer('seed', { min: 0 }),
    requiresArg: true,
    describe: 'Of splits, draws, the fresh weights and the k-means patches',
  },
  output: {
    alias: 'o',
    type: 'string',
    requiresArg: true,
    coerce: text('output'),
    describe: 'Folder for results.json, the confusion matrix (.csv, .png) and the nearest neighbours (.png)',
  },
  rescan: rescanFlag,
  ...inferenceFlags,
  json: jsonFlag('Print one JSON object'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  noteThreads(argv.threads);
  const { method = evaluateDefaults.methods, shots = evaluateDefaults.shots } = argv;
  let progress = new ImageProgress();
  const { rows, isBaseline } = await evaluate(
    { ...argv, methods: method, shots },
    {
      stage: (name) => {
        progress.end();
        progress = new ImageProgress();
        progress.note(`${name} …`);
      },
      // a bar goes over one folder
      progress: (done, total) => {
        progress.update(done, total);
        if (done === total) {
          progress.end();
          progress = new ImageProgress();
        }
      },
      note: (line) => progress.note(line),
      row: (row, seconds) => progress.note(`${rowLine(row)} (${seconds.toFixed(1)} s)`),
    },
  ).finally(() => progress.end());
  if (argv.json) print(JSON.stringify({ rows }));
  else for (const line of [...tableLines(rows), '', ...verdictLines(rows, isBaseline)]) print(line);
  if (argv.output !== undefined) note(`wrote ${argv.output}`);
}
