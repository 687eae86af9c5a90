import type { DecodedRegion, Pixels, Region, Size } from './pixels.js';

/** People look at their photographs upright, and what a model is later fed is upright: so new runs see them. */
export const exifRotationDefault = true;

// An orientation (CIPA DC-008, tag 0x0112) says how the stored picture has to be turned: 1 is upright, 2 mirrored, 3 half a
// turn, 4 upside down, 5 transposed, 6 turn clockwise, 7 transverse, 8 turn counter-clockwise.
const swaps = (orientation: number) => orientation >= 5;
/** Whether the upright picture's columns (rows, where it swaps) run against the stored ones. */
const flipsX = (orientation: number) => [2, 3, 7, 8].includes(orientation);
const flipsY = (orientation: number) => [3, 4, 6, 7].includes(orientation);

/** The size of a stored picture once it is turned, and the other way round. */
export function turnedSize<S extends Size>(size: S, orientation: number): S {
  return swaps(orientation) ? { ...size, width: size.height, height: size.width } : size;
}

/** Where a region of the upright picture lies in the stored one, whose size is `stored`. */
export function storedRegion(region: Region, stored: Size, orientation: number): Region {
  const { left, top, width, height } = swaps(orientation)
    ? { left: region.top, top: region.left, width: region.height, height: region.width }
    : region;
  return {
    left: flipsX(orientation) ? stored.width - left - width : left,
    top: flipsY(orientation) ? stored.height - top - height : top,
    width,
    height,
  };
}

/** A part of the stored picture as the same part of the upright one. */
export function turnedRegion<R extends DecodedRegion>(part: R, orientation: number): R {
  if (orientation === 1) return part;
  const { box } = part;
  const left = flipsX(orientation) ? part.width - box.left - box.width : box.left;
  const top = flipsY(orientation) ? part.height - box.top - box.height : box.top;
  const upright = swaps(orientation)
    ? { left: top, top: left, width: box.height, height: box.width }
    : { ...box, left, top };
  return { ...part, ...turned(part, orientation), box: upright };
}

/** The picture turned upright. */
export function turned(pixels: Pixels, orientation: number): Pixels {
  if (orientation === 1) return pixels;
  const { data: source, width, height } = pixels;
  const swap = swaps(orientation);
  const flipX = flipsX(orientation);
  const flipY = flipsY(orientation);
  const size = turnedSize({ width, height }, orientation);
  const data = new Uint8Array(width * height * 3);
  // steps in the source for one to the right and one down
  const stepX = (flipX ? -1 : 1) * 3;
  const stepY = (flipY ? -1 : 1) * width * 3;
  const [right, down] = swap ? [stepY, stepX] : [stepX, stepY];
  let row = ((flipY ? height - 1 : 0) * width + (flipX ? width - 1 : 0)) * 3;
  let to = 0;
  for (let y = 0; y < size.height; y++, row += down) {
    let from = row;
    for (let x = 0; x < size.width; x++, from += right) {
      data[to++] = source[from]!;
      data[to++] = source[from + 1]!;
      data[to++] = source[from + 2]!;
    }
  }
  return { data, ...size };
}
