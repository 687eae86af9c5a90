import { existsSync } from 'node:fs';
import { type Fit, loadImage } from '../data/load-image.js';
import { isPictureGrid, pictureFormat, writePictureGrid } from '../data/pictures/picture-grid.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import { maeParameters } from '../model/parameters.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { pretrainDefaults } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { checkRegularFile } from '../util/regular-file.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import type { Heads } from '../weights/foreign/heads.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadWeights } from '../weights/foreign/weights.js';
import { checkOutputFile, filesOfCheckpoint, refused } from './check-output.js';
import { Reconstructor } from './reconstructor.js';

export interface ReconstructOptions extends Heads {
  /** Paths of files of the `readableFormats`. */
  readonly images: readonly string[];
  readonly checkpoint: string;
  /** The picture to write: PNG, JPEG or WebP, as it ends. */
  readonly output: string;
  /** The model's own where not given. */
  readonly inputSize?: ModelConfig['inputSize'] | undefined;
  /** Share of patches removed; as in training where not given. */
  readonly maskRatio?: number | undefined;
  /** Seed of the masks. */
  readonly seed: number;
  readonly fit: Fit;
  /** Whether images are turned upright by their EXIF data. */
  readonly exifRotation?: boolean | undefined;
  /** Threads of ONNX Runtime; 0 stands for one a core. */
  readonly threads: number;
  readonly device: string;
}

export const reconstructDefaults = {
  output: 'reconstruction.png',
  seed: 0,
  fit: 'crop',
  threads: pretrainDefaults.threads,
  device: pretrainDefaults.device,
} as const satisfies Partial<ReconstructOptions>;

/** What is told of an image; `--json` prints these fields. */
export interface Reconstruction {
  readonly image: string;
  readonly loss: number;
  readonly output: string;
  readonly mask_ratio: number;
}

/**
 * Writes one picture with a row for each image; see `reconstructionPanels`. Images that cannot be read or have no loss
 * are left out, and their number says so; a UserError where no other is left.
 *
 * @param note is told what a person should know of how the checkpoint and the images were read, and of images left out.
 */
export async function reconstruct(
  options: ReconstructOptions,
  note: (line: string) => void,
): Promise<{ results: Reconstruction[]; failed: number }> {
  const { checkpoint, inputSize, output, seed, fit, exifRotation, threads } = options;
  await checkPicture(output, [...options.images, ...(await filesOfCheckpoint(checkpoint))]);
  const device = chooseDevice(options.device);
  const weights = atInputSize(await loadWeights(checkpoint, maeParameters, options), inputSize);
  for (const line of weights.notes) note(line);
  const size = imageSize(weights.config);
  const maskRatio = options.maskRatio ?? weights.maskRatio;
  const runtime = new Runtime({ threads, device });
  let reconstructor: Reconstructor | undefined;
  const rows: Uint8Array[][] = [];
  const results: Reconstruction[] = [];
  const failures: string[] = [];
  try {
    reconstructor = new Reconstructor(runtime, weights, maskRatio);
    const noted = new Set<string>(); // of each kind of picture one note is enough
    for (const [index, path] of options.images.entries()) {
      try {
        if (existsSync(path)) checkRegularFile(path, 'image');
        const image = await loadImage(path, {
          ...size,
          fit,
          exifRotation,
          note: ({ kind, text }) => {
            if (!noted.has(kind)) note(`${path}: ${text}`);
            noted.add(kind);
          },
        });
        const { loss, panels } = await reconstructor.reconstruct(image, seed, index);
        checkLoss(loss, path, weights.path);
        rows.push(panels);
        results.push({ image: path, loss, output, mask_ratio: maskRatio });
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failures.push(error.message);
      }
    }
  } finally {
    reconstructor?.release();
    runtime.release();
  }
  const [first] = failures;
  if (rows.length === 0) {
    const all = failures.length === 1 ? '' : `none of ${failures.length} images is left; the first: `;
    throw new UserError(`${all}${first}`);
  }
  for (const failure of failures) note(failure);
  await writePictureGrid(output, rows, size);
  return { results, failed: failures.length };
}

/** A UserError where the picture would replace anything but an earlier one of this command. */
export async function checkPicture(output: string, inputs: readonly string[]): Promise<void> {
  pictureFormat(output);
  checkOutputFile(output, inputs);
  if ((await isFile(output)) && !(await isPictureGrid(output))) {
    throw refused(
      output,
      'a new file or a picture of mae reconstruct',
      'a file of something else',
      'choose another path',
    );
  }
}

function checkLoss(loss: number, image: string, weights: string): void {
  if (Number.isFinite(loss)) return;
  throw new UserError(
    `reconstruct: expected a finite loss for ${image}, got ${loss}; the numbers in ${weights} are too large: ` +
      'use an earlier checkpoint',
  );
}
