import type { Fit } from '../data/load-image.js';
import type { RgbPicture } from '../data/pictures/encode-png.js';
import { gridCanvas, gridLayout, gridSize } from '../data/pictures/grid-canvas.js';
import {
  checkPictureFormat,
  checkPictureSize,
  isWrittenHere,
  writePicture,
} from '../data/pictures/picture-file.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import { maeParameters } from '../model/parameters.js';
import { chooseDevice } from '../runtime/choose-device.js';
import type { Device } from '../runtime/device.js';
import { Runtime } from '../runtime/runtime.js';
import { pretrainDefaults } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import type { Heads } from '../weights/foreign/heads.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import { checkOutputFile, filesOfCheckpoint, refused } from './check-output.js';
import { type GivenPicture, GivenPictures } from './given-pictures.js';
import { Reconstructor } from './reconstructor.js';

/** How a model is shown what, whatever that is. */
export interface ReconstructingOptions {
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

export interface ReconstructOptions extends Heads, ReconstructingOptions {
  /** Files of the `readableFormats`, and folders of them. */
  readonly images: readonly string[];
  /** Images of each folder, spread over it. */
  readonly count?: number | undefined;
  readonly checkpoint: string;
}

export const reconstructDefaults = {
  output: 'reconstruction.png',
  seed: 0,
  fit: 'crop',
  threads: pretrainDefaults.threads,
  device: pretrainDefaults.device,
} as const satisfies Partial<ReconstructOptions>;

/** Images of a folder where `count` is not given: so many rows can be looked at. */
export const imagesOfFolder = 8;

/** Panels smaller than this are enlarged by whole factors, so that small models' pictures can be looked at. */
export const smallestPanel = 192;
/** Original, masked, reconstruction, reconstruction with the visible patches. */
const panelsOfImage = 4;
/** Images of folders go through the graph so many at a time. */
const batchOfFolder = 8;

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
): Promise<{ results: Reconstruction[]; asked: number; failed: number; picture: RgbPicture }> {
  const { checkpoint, count, inputSize, output } = options;
  await checkPicture(output, [...options.images, ...(await filesOfCheckpoint(checkpoint))]);
  const device = chooseDevice(options.device);
  const weights = atInputSize(await loadWeights(checkpoint, maeParameters, options), inputSize);
  for (const line of weights.notes) note(line);
  const layout = gridLayout(imageSize(weights.config), smallestPanel);
  const maskRatio = options.maskRatio ?? weights.maskRatio;
  const pictures = await GivenPictures.open(options.images, count ?? imagesOfFolder, note);
  if (count !== undefined && !pictures.hasFolder && pictures.failures.length === 0) {
    throw new UserError(`--count: expected a folder of images, got files alone; leave --count out`);
  }
  checkPictureSize(output, gridSize(layout, pictures.length, panelsOfImage));
  const { rows, results } = await reconstructAll(pictures, weights, { ...options, maskRatio, device });
  const { failures, length: asked } = pictures;
  if (rows.length === 0) {
    const all = failures.length === 1 ? '' : `none of ${failures.length} images is left; the first: `;
    throw new UserError(`${all}${failures[0]}`);
  }
  for (const failure of failures) note(failure);
  const picture = gridCanvas(rows, layout);
  await writePicture(output, picture);
  return { results, asked, failed: failures.length, picture };
}

interface Rows {
  readonly rows: (readonly Uint8Array[])[];
  readonly results: Reconstruction[];
}

async function reconstructAll(
  pictures: GivenPictures,
  weights: Weights,
  options: Omit<ReconstructOptions, 'device'> & { readonly maskRatio: number; readonly device: Device },
): Promise<Rows> {
  const { threads, device, maskRatio, seed, output } = options;
  const batchSize = pictures.hasFolder ? Math.min(batchOfFolder, pictures.length) : 1;
  const all: Rows = { rows: [], results: [] };
  const runtime = new Runtime({ threads, device });
  let reconstructor: Reconstructor | undefined;
  try {
    reconstructor = new Reconstructor(runtime, weights, maskRatio, batchSize);
    for await (const batch of batchesOf(pictures.read(fittingOf(options, weights)), batchSize)) {
      const made = await reconstructor.reconstruct(batch, seed);
      for (const [row, { path: image }] of batch.entries()) {
        const { loss, panels } = made[row]!;
        const failure = lossFailure(loss, image, weights.path);
        if (failure !== undefined) {
          pictures.failures.push(failure);
          continue;
        }
        all.rows.push(panels);
        all.results.push({ image, loss, output, mask_ratio: maskRatio });
      }
    }
    return all;
  } finally {
    reconstructor?.release();
    runtime.release();
  }
}

/** How images are read for a model. */
export function fittingOf(
  { fit, exifRotation }: Pick<ReconstructingOptions, 'fit' | 'exifRotation'>,
  { config }: Pick<Weights, 'config'>,
) {
  return { ...imageSize(config), fit, exifRotation };
}

async function* batchesOf(images: AsyncIterable<GivenPicture>, size: number): AsyncGenerator<GivenPicture[]> {
  let batch: GivenPicture[] = [];
  for await (const image of images) {
    batch.push(image);
    if (batch.length < size) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** A UserError where the picture would replace anything but an earlier one of this command. */
export async function checkPicture(output: string, inputs: readonly string[]): Promise<void> {
  await checkPictureFormat(output);
  checkOutputFile(output, inputs);
  if ((await isFile(output)) && !(await isWrittenHere(output))) {
    throw refused(
      output,
      'a new file or a picture of mae reconstruct',
      'a file of something else',
      'choose another path',
    );
  }
}

/** Why an image has no loss, if so. */
export function lossFailure(loss: number, image: string, weights: string): string | undefined {
  if (Number.isFinite(loss)) return undefined;
  return (
    `reconstruct: expected a finite loss for ${image}, got ${loss}; the numbers in ${weights} are too large: ` +
    'use an earlier checkpoint'
  );
}
