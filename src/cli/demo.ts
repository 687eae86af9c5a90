import { join } from 'node:path';
import type { Options } from 'yargs';
import { writeSampleImages } from '../data/pictures/sample-images.js';
import { reconstruct, reconstructDefaults } from '../jobs/reconstruct.js';
import { epochLosses } from '../train/log-file.js';
import { pretrainDefaults } from '../train/options.js';
import { type Arguments, text } from './flags.js';
import { runPretraining } from './pretrain.js';
import { note, print } from './print.js';

export const options = {
  output: {
    alias: 'o',
    type: 'string',
    default: 'mae-demo',
    requiresArg: true,
    coerce: text('output'),
    describe: 'Folder for the images, the run and the picture',
  },
} as const satisfies Record<string, Options>;

const imageCount = 320;
const recipe = {
  ...pretrainDefaults,
  model: 'mae_vit_nano_patch8_64',
  batchSize: 64,
  epochs: 80,
  warmupEpochs: 8,
  lr: 1.5e-3,
  saveEvery: 10,
  // pixels themselves, so that the picture owes nothing to the hidden patches
  normPixLoss: false,
};

/** The main job on an embedded default: sample images, a small pretraining, a reconstruction. */
export async function run({ output }: Arguments<typeof options>): Promise<void> {
  const images = join(output, 'images');
  const runFolder = join(output, 'run');
  const picture = join(output, 'reconstruction.png');
  note(`rendering ${imageCount} sample images to ${images}`);
  const paths = await writeSampleImages(images, { count: imageCount });
  const result = await runPretraining({ ...recipe, dataPath: images, outputDir: runFolder });
  if (process.exitCode) return; // stopped by a signal
  await reconstruct(
    { ...reconstructDefaults, images: paths.slice(0, 6), checkpoint: runFolder, output: picture },
    note,
  );
  const losses = await epochLosses(join(runFolder, 'log.jsonl'));
  print(`loss: ${losses[0]!.toFixed(4)} in the first epoch, ${losses.at(-1)!.toFixed(4)} in the last`);
  print('open these:');
  print(`  ${picture}  original, masked, reconstruction, reconstruction with the visible patches`);
  print(`  ${join(runFolder, 'log.jsonl')}  one JSON object a line`);
  print(`  ${result.checkpoint}  weights (safetensors), optimizer, state`);
}
