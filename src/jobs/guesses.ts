/**
 * The losses of two guesses that need no model, so that a newcomer knows what the loss of one means: the mean of all
 * targets for every pixel, and the best single colour of each image.
 */
import { TrainLoader, type TrainLoaderOptions } from '../data/loader.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import { normalizeByte } from '../model/imagenet.js';
import type { BatchInput } from '../model/task.js';
import type { Guesses } from '../train/observer.js';
import { UserError } from '../util/errors.js';

/** Images that are looked at: their mean loss is that of the folder to about 2 %. */
const imageCount = 256;
const batchSize = 32;

export type GuessOptions = Omit<TrainLoaderOptions, 'inputs' | 'startEpoch' | 'startBatch'> & {
  readonly normPixLoss: boolean;
};

/** Of the first crops of the first epoch, or of one pass where there are fewer; undefined where they cannot be read. */
export async function guessLosses(
  config: ModelConfig,
  { normPixLoss, ...options }: GuessOptions,
): Promise<Guesses | undefined> {
  const { length } = options.source;
  const images = Math.min(batchSize, length);
  const batches = Math.min(imageCount / batchSize, Math.floor(length / images));
  const sums = new TargetSums(config, normPixLoss);
  try {
    // threads of their own take longer to start than a few small pictures; what is read is the same
    const start = performance.now();
    await addBatches(sums, 0, 1, { ...options, numWorkers: 0 }, images);
    const isSlow = performance.now() - start > slowMilliseconds;
    await addBatches(sums, 1, batches, isSlow ? options : { ...options, numWorkers: 0 }, images);
  } catch (error) {
    if (error instanceof UserError) return undefined; // the run's own loader says it
    throw error;
  }
  return sums.losses();
}

/** Of the first batch. */
const slowMilliseconds = 300;

async function addBatches(
  sums: TargetSums,
  first: number,
  end: number,
  options: Omit<GuessOptions, 'normPixLoss'>,
  images: number,
): Promise<void> {
  if (first >= end) return;
  const { height, width } = sums;
  const shape = [images, height, width, 3];
  const inputs: BatchInput[] = [{ name: 'images', type: 'uint8', shape, content: 'pixels' }];
  const loader = new TrainLoader({ ...options, inputs, startEpoch: 0, startBatch: first });
  try {
    for (let i = first; i < end; i++) {
      const batch = await loader.next();
      const bytes = batch.inputs['images'] as Uint8Array;
      const size = bytes.length / images;
      for (let row = 0; row < images; row++) sums.add(bytes.subarray(row * size, (row + 1) * size));
      batch.release();
    }
  } finally {
    await loader.close();
  }
}

/** Sums over the targets of images, as the loss has them: see `targets` of `model/mae.ts`. */
export class TargetSums {
  readonly height: number;
  readonly width: number;
  readonly #patch: number;
  readonly #normPixLoss: boolean;
  #count = 0;
  #sum = 0;
  #squares = 0;
  /** Of what is left when each image's colour, a number for each channel, is taken away. */
  #squaresAroundColour = 0;

  constructor(config: ModelConfig, normPixLoss: boolean) {
    const { height, width } = imageSize(config);
    this.height = height;
    this.width = width;
    this.#patch = config.patchSize;
    this.#normPixLoss = normPixLoss;
  }

  /** image: bytes [H, W, 3] */
  add(image: Uint8Array): void {
    const size = this.#patch;
    const pixels = this.height * this.width;
    const colour = [0, 0, 0];
    let squares = 0;
    for (let top = 0; top < this.height; top += size) {
      for (let left = 0; left < this.width; left += size) {
        const sums = this.#patchSums(image, top, left);
        const [shift, scale] = this.#normPixLoss ? normalization(sums, size * size * 3) : [0, 1];
        for (let c = 0; c < 3; c++) {
          const { sum, squares: square } = sums[c]!;
          const n = size * size;
          colour[c]! += (sum - n * shift) * scale;
          squares += (square - 2 * shift * sum + n * shift * shift) * scale * scale;
        }
      }
    }
    this.#count += 3 * pixels;
    this.#squares += squares;
    for (const sum of colour) {
      this.#sum += sum;
      squares -= (sum * sum) / pixels;
    }
    this.#squaresAroundColour += squares;
  }

  /** Means of squares, as the loss is one. */
  losses(): Guesses {
    const mean = this.#sum / this.#count;
    return {
      mean: this.#squares / this.#count - mean * mean,
      colour: this.#squaresAroundColour / this.#count,
    };
  }

  /** Sums of a patch's pixels and of their squares, of each channel. */
  #patchSums(image: Uint8Array, top: number, left: number): readonly ChannelSums[] {
    return normalized.map((values, c) => {
      let sum = 0;
      let squares = 0;
      for (let y = top; y < top + this.#patch; y++) {
        const start = 3 * (y * this.width + left);
        for (let i = start + c; i < start + 3 * this.#patch; i += 3) {
          const x = values[image[i]!]!;
          sum += x;
          squares += x * x;
        }
      }
      return { sum, squares };
    });
  }
}

interface ChannelSums {
  readonly sum: number;
  readonly squares: number;
}

/** Of each channel and byte. */
const normalized = [0, 1, 2].map((c) =>
  Float64Array.from({ length: 256 }, (_, byte) => normalizeByte(byte, c)),
);

/** (x − shift) · scale are the normalised targets of a patch: mean and 1 / √(unbiased variance + 1e-6). */
function normalization(sums: readonly ChannelSums[], count: number): [shift: number, scale: number] {
  const sum = sums.reduce((total, each) => total + each.sum, 0);
  const squares = sums.reduce((total, each) => total + each.squares, 0);
  const mean = sum / count;
  const variance = Math.max(0, squares - count * mean * mean) / (count - 1);
  return [mean, 1 / Math.sqrt(variance + 1e-6)];
}
