import type { RandomStream } from '../../util/random.js';
import type { Region, Size } from '../decode/pixels.js';

export interface CropOptions {
  /** Share of the picture's area, uniform in this range. */
  readonly scale: readonly [number, number];
  /** Width / height, log-uniform in this range. */
  readonly ratio: readonly [number, number];
  /**
   * 10, as torchvision has it, tries again where a draw does not fit; 1 clips the sides of the first draw to the picture,
   * as BYOL (Grill et al., 2020) and the published linear probe do. 10 where not given.
   */
  readonly tries?: 10 | 1 | undefined;
}

/**
 * The crop of torchvision's `RandomResizedCrop.get_params`, in whole pixels: ten tries at a random area and
 * aspect that fits, then the largest central crop whose aspect is allowed. Or one try, clipped.
 */
export function randomResizedCrop(random: RandomStream, picture: Size, options: CropOptions): Region {
  const { tries = 10 } = options;
  for (let attempt = 0; attempt < tries; attempt++) {
    const sides = drawSides(random, picture, options);
    if (tries === 1) return place(random, picture, clip(sides, picture));
    const { width, height } = sides;
    if (width > 0 && width <= picture.width && height > 0 && height <= picture.height)
      return place(random, picture, sides);
  }
  return largestCentralCrop(picture, options);
}

function drawSides(random: RandomStream, picture: Size, { scale, ratio }: CropOptions): Size {
  const area = picture.width * picture.height * random.uniform(scale[0], scale[1]);
  const aspect = Math.exp(random.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
  return { width: Math.round(Math.sqrt(area * aspect)), height: Math.round(Math.sqrt(area / aspect)) };
}

/** No side is longer than the picture's, and none is 0: a picture of one pixel has a crop too. */
function clip({ width, height }: Size, picture: Size): Size {
  return {
    width: Math.max(1, Math.min(width, picture.width)),
    height: Math.max(1, Math.min(height, picture.height)),
  };
}

function place(random: RandomStream, picture: Size, { width, height }: Size): Region {
  const top = random.int(picture.height - height + 1);
  const left = random.int(picture.width - width + 1);
  return { left, top, width, height };
}

function largestCentralCrop({ width, height }: Size, { ratio }: CropOptions): Region {
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
export function randomFlip(random: RandomStream, probability: number): boolean {
  return random.float() < probability;
}

/**
 * The box, not in whole pixels, that becomes `target` when the picture is shrunk until its shorter side is that of the
 * target divided by `share`, and the middle is cut out. A share of 0.875 makes 224 pixels of 256. torchvision rounds the
 * longer side after the resize, and the place of the middle, to whole pixels: ours may lie half a pixel beside that.
 */
export function centerCropBox(picture: Size, target: Size, share = 1): Region {
  const scale = Math.min(picture.width / target.width, picture.height / target.height) * share;
  const width = target.width * scale;
  const height = target.height * scale;
  return { left: (picture.width - width) / 2, top: (picture.height - height) / 2, width, height };
}

/** The whole picture, whatever that does to its aspect. */
export function squash({ width, height }: Size): Region {
  return { left: 0, top: 0, width, height };
}
