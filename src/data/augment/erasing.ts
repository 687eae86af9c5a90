import { normalizeByte } from '../../model/imagenet.js';
import type { RandomStream } from '../../util/random.js';
import type { Region, Size } from '../decode/pixels.js';

/** Share of the picture's area, uniform; height / width, log-uniform: those of timm and of the published recipe. */
const area = [0.02, 1 / 3] as const;
const aspect = [0.3, 1 / 0.3] as const;
const tries = 10;

/** The box that is erased (Zhong et al., 2020), as timm draws it; undefined where none is. */
export function drawErasedBox(
  random: RandomStream,
  { height, width }: Size,
  probability: number,
): Region | undefined {
  if (random.float() >= probability) return undefined;
  for (let attempt = 0; attempt < tries; attempt++) {
    const pixels = random.uniform(...area) * height * width;
    const ratio = Math.exp(random.uniform(Math.log(aspect[0]), Math.log(aspect[1])));
    const boxHeight = Math.round(Math.sqrt(pixels * ratio));
    const boxWidth = Math.round(Math.sqrt(pixels / ratio));
    if (boxWidth >= width || boxHeight >= height) continue;
    const top = random.int(height - boxHeight + 1);
    const left = random.int(width - boxWidth + 1);
    return { left, top, width: boxWidth, height: boxHeight };
  }
  return undefined;
}

const black = [0, 1, 2].map((channel) => normalizeByte(0, channel));

/**
 * Erases a box: its bytes become 0, and in `added` [H, W, 3] stands what makes noise of the normalised 0. A graph that adds
 * it has N(0, 1) there; noise in bytes would be clipped. Beside the box it is 0.
 */
export function erase(
  random: RandomStream,
  pixels: Uint8Array,
  added: Float32Array,
  width: number,
  box: Region | undefined,
): void {
  added.fill(0);
  if (!box) return;
  for (let y = box.top; y < box.top + box.height; y++) {
    const start = (y * width + box.left) * 3;
    const end = start + box.width * 3;
    pixels.fill(0, start, end);
    random.fillNormal(added.subarray(start, end));
    for (let i = start; i < end; i += 3) {
      added[i]! -= black[0]!;
      added[i + 1]! -= black[1]!;
      added[i + 2]! -= black[2]!;
    }
  }
}
