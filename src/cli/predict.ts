import type { Argv, Options } from 'yargs';
import { readableFormats } from '../data/decode/sniff.js';
import { type Guess, type Prediction, predict, predictDefaults } from '../jobs/predict.js';
import { csvField } from '../util/csv.js';
import { UserError } from '../util/errors.js';
import { checkpointFlag, jsonFlag, noteThreads } from './common-flags.js';
import { type Arguments, integer } from './flags.js';
import { ImageProgress } from './image-progress.js';
import { type ImageArguments, imagesOf } from './images.js';
import { inferenceFlags } from './inference-flags.js';
import { note, print } from './print.js';

export const options = {
  checkpoint: { ...checkpointFlag, describe: 'Run, checkpoint or file of mae finetune or mae linprobe' },
  top: {
    default: predictDefaults.top,
    coerce: integer('top', { min: 1 }),
    requiresArg: true,
    describe: 'Classes told of each image, the likeliest first',
  },
  ...inferenceFlags,
  json: jsonFlag('Print one JSON object an image; scores are probabilities, shares of 1'),
  csv: {
    type: 'boolean',
    default: false,
    describe: 'Print CSV: image,label,score, and label_2,score_2 and so on up to --top',
  },
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv.positional('images', {
    type: 'string',
    array: true,
    describe: `${readableFormats} files, and folders of them`,
  });
}

/** How a prediction is printed, and what stands above the first. */
interface Form {
  header?(top: number): string;
  line(prediction: Prediction): string;
}

const forms: Readonly<Record<'text' | 'json' | 'csv', Form>> = {
  text: { line: ({ image, top }) => [image, ...top.map(asShare)].join('  ') },
  json: {
    line: ({ image, label, score, top }) =>
      JSON.stringify({ image, label, score: shortest(score), top: top.map(shortened) }),
  },
  csv: {
    header: (top) => {
      const others = Array.from({ length: top - 1 }, (_, i) => `,label_${i + 2},score_${i + 2}`);
      return `image,label,score${others.join('')}`;
    },
    line: ({ image, top }) =>
      [csvField(image), ...top.flatMap(({ label, score }) => [csvField(label), shortest(score)])].join(','),
  },
};

function asShare({ label, score }: Guess): string {
  return `${label} ${(100 * score).toFixed(1)}%`;
}

function shortened({ label, score }: Guess): Guess {
  return { label, score: shortest(score) };
}

/** As many digits as the model computes with. */
function shortest(score: number): number {
  return Number(score.toPrecision(7));
}

export async function run(argv: Arguments<typeof options> & ImageArguments): Promise<void> {
  const { json, csv } = argv;
  if (json && csv) throw new UserError('--csv: expected --json or --csv, got both; leave one of them out');
  noteThreads(argv.threads);
  const images = imagesOf(argv);
  const form = forms[json ? 'json' : csv ? 'csv' : 'text'];
  // a bar between the lines of results would tear both
  const progress = process.stdout.isTTY ? undefined : new ImageProgress();
  let isFirst = true;
  const { predicted, failed } = await predict(
    { ...argv, images },
    {
      predicted: (prediction) => {
        if (isFirst && form.header) print(form.header(prediction.top.length));
        isFirst = false;
        print(form.line(prediction));
      },
      note: progress?.note ?? note,
      progress: progress?.update ?? (() => {}),
    },
  ).finally(() => progress?.end());
  if (failed === 0) return;
  note(`mae: ${failed} of ${predicted + failed} images have no prediction`);
  process.exitCode = 1;
}
