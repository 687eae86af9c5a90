import type { Options } from 'yargs';
import { writeSampleImages } from '../data/pictures/sample-images.js';
import { outputFlag } from './common-flags.js';
import { type Arguments, integer } from './flags.js';
import { print } from './print.js';

export const options = {
  output: outputFlag('Folder to fill, one sub-folder a kind of image'),
  count: {
    default: 300,
    coerce: integer('count', { min: 1, max: 1e6 }),
    requiresArg: true,
    describe: 'Images',
  },
  seed: {
    default: 0,
    coerce: integer('seed', { min: 0 }),
    requiresArg: true,
    describe: 'Same seed, same bytes',
  },
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const { output, count, seed } = argv;
  const paths = await writeSampleImages(output, { count, seed });
  print(`${paths.length} images in ${output}`);
}
