import type { Argv, Options } from 'yargs';
import { exifRotationDefault } from '../data/decode/orientation.js';
import { readableFormats } from '../data/decode/sniff.js';
import type { Fit } from '../data/load-image.js';
import type { RgbPicture } from '../data/pictures/encode-png.js';
import { imagesOfFolder, reconstruct, reconstructDefaults } from '../jobs/reconstruct.js';
import { reconstructOverTime } from '../jobs/reconstruct-over-time.js';
import { camelCase } from '../util/case.js';
import { UserError } from '../util/errors.js';
import {
  checkpointFlag,
  deviceFlag,
  exifRotationFlag,
  headsFlags,
  jsonFlag,
  noteThreads,
  threadsFlag,
} from './common-flags.js';
import { type Arguments, integer, number, text } from './flags.js';
import { type ImageArguments, imagesOf } from './images.js';
import { inputSizeFlag } from './model-flags.js';
import { note, print } from './print.js';
import { checkedShow, showFlag, showPicture } from './show.js';

export const options = {
  checkpoint: { ...checkpointFlag, demandOption: false },
  'over-time': {
    type: 'string',
    requiresArg: true,
    coerce: text('over-time'),
    describe:
      'Run, in place of --checkpoint: one image, under one mask, through all its checkpoints, a column each, the oldest first',
  },
  count: {
    defaultDescription: `${imagesOfFolder}`,
    coerce: integer('count', { min: 1, max: 1000 }),
    requiresArg: true,
    describe: 'Images of a folder, spread over it',
  },
  ...headsFlags,
  output: {
    alias: 'o',
    type: 'string',
    default: reconstructDefaults.output,
    requiresArg: true,
    coerce: text('output'),
    describe:
      'PNG, JPEG or WebP, as it ends: a row an image, with the original, what the encoder saw, the reconstruction, and the reconstruction with the visible patches pasted in',
  },
  'input-size': inputSizeFlag,
  'mask-ratio': {
    coerce: number('mask-ratio', { min: 0, max: 1, open: true }),
    requiresArg: true,
    describe: 'Share of patches removed (default: as in training)',
  },
  seed: {
    default: reconstructDefaults.seed,
    coerce: integer('seed', { min: 0 }),
    requiresArg: true,
    describe: 'Seed of the masks',
  },
  fit: {
    choices: ['crop', 'squash'],
    default: reconstructDefaults.fit,
    coerce: text('fit'),
    describe: 'Cut the middle out, or squeeze the whole picture in',
  },
  'exif-rotation': exifRotationFlag(`${exifRotationDefault}`),
  threads: threadsFlag,
  device: deviceFlag,
  show: showFlag,
  json: jsonFlag('Print one JSON object an image, or a checkpoint'),
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv
    .positional('images', {
      type: 'string',
      array: true,
      describe: `${readableFormats} files, and folders of them`,
    })
    .epilogue(
      'A model trained with --norm-pix-loss predicts patches without their mean and deviation. The picture takes ' +
        'both from the original, hidden patches included: it borrows from the pixels that it should guess.',
    );
}

type ReconstructArguments = Arguments<typeof options> & ImageArguments;

export async function run(argv: ReconstructArguments): Promise<void> {
  noteThreads(argv.threads);
  const images = imagesOf(argv);
  const show = checkedShow(argv);
  const job = argv.overTime === undefined ? runOnce : runOverTime;
  const { lines, picture, failure } = await job(argv, images);
  if (show !== undefined) await showPicture(picture, show);
  for (const line of lines) print(line);
  if (!argv.json) print(`wrote ${argv.output}`);
  if (failure === undefined) return;
  note(`mae: ${failure}`);
  process.exitCode = 1;
}

/** What is printed, and shown. */
interface Outcome {
  readonly lines: readonly string[];
  readonly picture: RgbPicture;
  /** Of images that are left out. */
  readonly failure?: string;
}

async function runOnce(argv: ReconstructArguments, images: string[]): Promise<Outcome> {
  const { checkpoint, fit, json, output } = argv;
  if (checkpoint === undefined) {
    throw new UserError(
      '--checkpoint: expected --checkpoint, or --over-time with a run, got neither; give one',
    );
  }
  const options = { ...argv, images, checkpoint, fit: fit as Fit };
  const { results, asked, failed, picture } = await reconstruct(options, note);
  const lines = results.map((line) =>
    json ? JSON.stringify(line) : `${line.image}  loss ${line.loss.toFixed(4)}`,
  );
  if (failed === 0) return { lines, picture };
  return { lines, picture, failure: `${failed} of ${asked} images are not in ${output}` };
}

async function runOverTime(argv: ReconstructArguments, images: string[]): Promise<Outcome> {
  const { overTime, fit, json } = argv;
  for (const other of ['checkpoint', 'count', 'num-heads', 'decoder-num-heads'] as const) {
    if (argv[camelCase(other) as keyof ReconstructArguments] !== undefined) {
      throw new UserError(`--${other}: expected no --${other} beside --over-time; leave one of them out`);
    }
  }
  if (images.length !== 1)
    throw new UserError(`--over-time: expected one image, got ${images.length}; give one`);
  const options = { ...argv, run: overTime!, image: images[0]!, fit: fit as Fit };
  const { results, picture } = await reconstructOverTime(options, note);
  const lines = results.map((line) => {
    if (json) return JSON.stringify(line);
    const epoch = line.epoch === null ? '' : `, epoch ${line.epoch}`;
    return `column ${line.column}: step ${line.step}${epoch}  loss ${line.loss.toFixed(4)}`;
  });
  return { lines, picture };
}
