import type { RandomStream } from '../util/random.js';
import type { Region, Size } from './decode/pixels.js';

export interface CropOptions {
  /** Share of the picture's area, uniform in this range. */
  scale: readonly [number, number];
  /** Width / height, log-uniform in this range. */
  ratio: readonly [number, number];
}

/** Crops of the published pretraining recipe. */
export const pretrainCrop: CropOptions = { scale: [0.2, 1], ratio: [3 / 4, 4 / 3] };
export const flipProbability = 0.5;

/**
 * The crop of torchvision's `RandomResizedCrop.get_params`, in whole pixels: ten tries at a random area and
 * aspect that fits, then the largest central crop whose aspect is allowed.
 */
export function randomResizedCrop(
  random: RandomStream,
  { width, height }: Size,
  { scale, ratio }: CropOptions = pretrainCrop,
): Region {
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * random.uniform(scale[0], scale[1]);
    const aspect = Math.exp(random.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const cropWidth = Math.round(Math.sqrt(area * aspect));
    const cropHeight = Math.round(Math.sqrt(area / aspect));
    if (cropWidth > 0 && cropWidth <= width && cropHeight > 0 && cropHeight <= height) {
      const top = random.int(height - cropHeight + 1);
      const left = random.int(width - cropWidth + 1);
      return { left, top, width: cropWidth, height: cropHeight };
    }
  }
  const aspect = width / height;
  const cropWidth = aspect > ratio[1] ? Math.round(height * ratio[1]) : width;
  const cropHeight = aspect < ratio[0] ? Math.round(width / ratio[0]) : height;
  return {
    left: Math.floor((width - cropWidth) / 2),
    top: Math.floor((height - cropHeight) / 2),
    width: cropWidth,
    height: cropHeight,
  };
}

/** Mirrored left to right or not; draw it after the crop, from the same stream. */
export function randomFlip(random: RandomStream): boolean {
  return random.float() < flipProbability;
}

/**
 * The box, not in whole pixels, that becomes `target` when the picture is shrunk until one side fits and the
 * middle is cut out of the other.
 */
export function centerCropBox(picture: Size, target: Size): Region {
  const scale = Math.min(picture.width / target.width, picture.height / target.height);
  const width = target.width * scale;
  const height = target.height * scale;
  return { left: (picture.width - width) / 2, top: (picture.height - height) / 2, width, height };
}

/** The whole picture, whatever that does to its aspect. */
export function squash({ width, height }: Size): Region {
  return { left: 0, top: 0, width, height };
}
