import { imageSize, type ModelConfig } from '../../model/config.js';
import { denormalizeToByte, normalizeByte } from '../../model/imagenet.js';

/** Pixels on the host. Patches are [L, P] of one image, for pictures; P is flattened row, column, channel. */

/** uint8 [N, H, W, 3] → float32 [N, 3, H, W], normalised: what the exported encoder takes. */
export function pixelValues(
  images: Uint8Array,
  { height, width }: { height: number; width: number },
): Float32Array {
  const area = height * width;
  const values = new Float32Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const channel = i % 3;
    const pixel = Math.floor(i / 3); // of all images
    const image = Math.floor(pixel / area);
    values[(image * 3 + channel) * area + (pixel % area)] = normalizeByte(images[i]!, channel);
  }
  return values;
}

/** uint8 [H, W, 3] → float32 [L, P], normalised as the model's input is. */
export function patchifyPixels(image: Uint8Array, config: ModelConfig): Float32Array {
  const patches = new Float32Array(image.length);
  forEachPixel(config, (pixel, place, channel) => {
    patches[place] = normalizeByte(image[pixel]!, channel);
  });
  return patches;
}

/** float32 [L, P], normalised → uint8 [H, W, 3]. */
export function unpatchifyPixels(patches: Float32Array, config: ModelConfig): Uint8Array {
  const image = new Uint8ClampedArray(patches.length);
  forEachPixel(config, (pixel, place, channel) => {
    image[pixel] = denormalizeToByte(patches[place]!, channel);
  });
  return new Uint8Array(image.buffer);
}

function forEachPixel(
  config: ModelConfig,
  visit: (pixel: number, place: number, channel: number) => void,
): void {
  const { height, width } = imageSize(config);
  const patch = config.patchSize;
  const columns = width / patch;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const index = Math.floor(y / patch) * columns + Math.floor(x / patch);
      const within = (y % patch) * patch + (x % patch);
      for (let channel = 0; channel < 3; channel++) {
        visit((y * width + x) * 3 + channel, (index * patch * patch + within) * 3 + channel, channel);
      }
    }
  }
}

/**
 * Puts patches predicted in normalised form back to pixels with the mean and unbiased deviation of the true
 * patch, the inverse of the norm-pix targets. Hidden patches give theirs away by this: it is for pictures only.
 */
export function denormalizePatches(
  pred: Float32Array,
  truth: Float32Array,
  patchLength: number,
): Float32Array {
  const result = new Float32Array(pred.length);
  for (let start = 0; start < pred.length; start += patchLength) {
    const patch = truth.subarray(start, start + patchLength);
    const mean = patch.reduce((sum, x) => sum + x, 0) / patchLength;
    const variance = patch.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (patchLength - 1);
    const deviation = Math.sqrt(variance + 1e-6);
    for (let i = 0; i < patchLength; i++) result[start + i] = pred[start + i]! * deviation + mean;
  }
  return result;
}

/** Rows of `from` [L, P] written to the rows that `ids` names: the inverse of the shuffle. */
export function unshuffle(from: Float32Array, ids: BigInt64Array): Float32Array {
  const length = from.length / ids.length;
  const result = new Float32Array(from.length);
  ids.forEach((id, row) => {
    result.set(from.subarray(row * length, (row + 1) * length), Number(id) * length);
  });
  return result;
}
