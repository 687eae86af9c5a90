import type { Argv, Options } from 'yargs';
import type { Fit } from '../data/load-image.js';
import { reconstruct, reconstructDefaults } from '../jobs/reconstruct.js';
import { UserError } from '../util/errors.js';
import { checkpointFlag, deviceFlag, jsonFlag, threadsFlag } from './common-flags.js';
import { type Arguments, integer, number, text } from './flags.js';
import { inputSizeFlag } from './model-flags.js';

export const options = {
  checkpoint: checkpointFlag,
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
  threads: threadsFlag,
  device: deviceFlag,
  json: jsonFlag('Print one JSON object an image'),
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv
    .positional('images', { type: 'string', array: true, describe: 'JPEG, PNG, WebP or TIFF files' })
    .epilogue(
      'A model trained with --norm-pix-loss predicts patches without their mean and deviation. The picture takes ' +
        'both from the original, hidden patches included: it borrows from the pixels that it should guess.',
    );
}

type ReconstructArguments = Arguments<typeof options> & { images?: string[] };

/** What yargs makes of `-` (nothing) and of names after `--` (numbers, perhaps) is not what was meant. */
function imagesOf({ images = [] }: ReconstructArguments): string[] {
  const words = process.argv.slice(2);
  const end = words.indexOf('--');
  const [before, after] = end < 0 ? [words, []] : [words.slice(0, end), words.slice(end + 1)];
  const given = [...images, ...after];
  if (before.includes('-')) {
    throw new UserError('images: expected paths of files, got -; standard input is not read: give a file');
  }
  if (given.length > 0) return given;
  throw new UserError('images: expected at least one path of a picture, got none; name one');
}

export async function run(argv: ReconstructArguments): Promise<void> {
  const images = imagesOf(argv);
  const { results, failed } = await reconstruct({ ...argv, images, fit: argv.fit as Fit }, (note) =>
    console.error(note),
  );
  for (const line of results) {
    console.log(argv.json ? JSON.stringify(line) : `${line.image}  loss ${line.loss.toFixed(4)}`);
  }
  if (!argv.json) console.log(`wrote ${argv.output}`);
  if (failed === 0) return;
  console.error(`mae: ${failed} of ${images.length} images are not in ${argv.output}`);
  process.exitCode = 1;
}
