import { join } from 'node:path';
import { type FlagValues, fileFolder, pretrainArgs, writeImages, writeModel } from './cli-files.js';

/** What a test of a command begins with that trains, or that needs a run: a model, and images for it. */
export interface TrainingFiles {
  /** It goes when the file's tests have ended. */
  readonly folder: string;
  /** The folder of the pictures. */
  readonly images: string;
  readonly pictures: readonly [string, ...string[]];
  /** The file of the tiny model. */
  readonly model: string;
  /** A run directory of a test's own, not there yet. */
  newRun(): string;
  /** `mae pretrain` of the model on the images. */
  args(run: string, values?: FlagValues): string[];
}

/** Writes them while a test file loads: `const { … } = await trainingFiles(16)`. */
export async function trainingFiles(count: number): Promise<TrainingFiles> {
  const folder = fileFolder();
  const images = join(folder, 'images');
  const model = writeModel(folder);
  const pictures = (await writeImages(images, count)) as [string, ...string[]];
  let runs = 0;
  return {
    folder,
    images,
    pictures,
    model,
    newRun: () => join(folder, `run-${++runs}`),
    args: (run, values) => pretrainArgs({ 'data-path': images, model, 'output-dir': run, ...values }),
  };
}
