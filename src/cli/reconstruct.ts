import type { Argv, Options } from 'yargs';
import { exifRotationDefault } from '../data/decode/orientation.js';
import { readableFormats } from '../data/decode/sniff.js';
import type { Fit } from '../data/load-image.js';
import { reconstruct, reconstructDefaults } from '../jobs/reconstruct.js';
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

export const options = {
  checkpoint: checkpointFlag,
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
  json: jsonFlag('Print one JSON object an image'),
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv
    .positional('images', { type: 'string', array: true, describe: `${readableFormats} files` })
    .epilogue(
      'A model trained with --norm-pix-loss predicts patches without their mean and deviation. The picture takes ' +
        'both from the original, hidden patches included: it borrows from the pixels that it should guess.',
    );
}

type ReconstructArguments = Arguments<typeof options> & ImageArguments;

export async function run(argv: ReconstructArguments): Promise<void> {
  noteThreads(argv.threads);
  const images = imagesOf(argv);
  const { results, failed } = await reconstruct({ ...argv, images, fit: argv.fit as Fit }, note);
  for (const line of results) {
    print(argv.json ? JSON.stringify(line) : `${line.image}  loss ${line.loss.toFixed(4)}`);
  }
  if (!argv.json) print(`wrote ${argv.output}`);
  if (failed === 0) return;
  note(`mae: ${failed} of ${images.length} images are not in ${argv.output}`);
  process.exitCode = 1;
}
