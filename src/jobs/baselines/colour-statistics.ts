import type { ImageSource } from '../../data/sources/source.js';
import { collectRows, type FeatureOptions, type FeatureProgress, type FeatureTable } from '../features.js';
import { pictureInputs } from './pictures.js';

/** Pictures are taken at 64 × 64. */
const side = 64;
const pixelCount = side * side;

interface Channel {
  readonly of: (r: number, g: number, b: number) => number;
  /** Its values are whole numbers from `lowest` on. */
  readonly lowest: number;
  readonly count: number;
}

/** Red, green, blue, and the opponent colours: R − G, R + G − 2B, R + G + B. */
const channels: readonly Channel[] = [
  { of: (r) => r, lowest: 0, count: 256 },
  { of: (_, g) => g, lowest: 0, count: 256 },
  { of: (_r, _g, b) => b, lowest: 0, count: 256 },
  { of: (r, g) => r - g, lowest: -255, count: 511 },
  { of: (r, g, b) => r + g - 2 * b, lowest: -510, count: 1021 },
  { of: (r, g, b) => r + g + b, lowest: 0, count: 766 },
];

/** Of the pixels, by rank: the value at place ⌊q·(n − 1)⌋ of n in order. */
const quantiles = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1];

/** Mean, deviation and quantiles. */
const numbersPerChannel = 2 + quantiles.length;
export const colourNumbers = channels.length * numbersPerChannel;

/** What colours there are, wherever they are: mean, deviation, least, largest and five quantiles of six channels. [N, 54] */
export async function colourTable(
  source: ImageSource,
  options: Pick<FeatureOptions, 'batchSize' | 'numWorkers' | 'exifRotation'>,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<FeatureTable> {
  const batchSize = Math.min(options.batchSize, source.length);
  const { colours } = await collectRows(
    source,
    {
      inputs: pictureInputs(side, batchSize),
      shapes: { colours: [colourNumbers] },
      compute: async ({ inputs, count }) => {
        const images = inputs['images'] as Uint8Array;
        const rows = new Float32Array(count * colourNumbers);
        for (let row = 0; row < count; row++) {
          const pixels = images.subarray(row * pixelCount * 3, (row + 1) * pixelCount * 3);
          rows.set(colourStatistics(pixels), row * colourNumbers);
        }
        return { colours: rows };
      },
    },
    options,
    progress,
    note,
  );
  return colours;
}

/** pixels: R, G, B, R, … from 0 to 255 */
export function colourStatistics(pixels: Uint8Array): Float32Array {
  const numbers = new Float32Array(colourNumbers);
  for (const [i, channel] of channels.entries())
    numbers.set(statisticsOf(pixels, channel), i * numbersPerChannel);
  return numbers;
}

/** By a histogram: the numbers are whole. */
function statisticsOf(pixels: Uint8Array, { of, lowest, count }: Channel): number[] {
  const histogram = new Uint32Array(count);
  for (let i = 0; i < pixels.length; i += 3) {
    histogram[of(pixels[i]!, pixels[i + 1]!, pixels[i + 2]!) - lowest]!++;
  }
  const total = pixels.length / 3;
  let sum = 0;
  let squares = 0;
  for (let bin = 0; bin < count; bin++) {
    const value = lowest + bin;
    sum += histogram[bin]! * value;
    squares += histogram[bin]! * value * value;
  }
  const mean = sum / total;
  const deviation = Math.sqrt(Math.max(0, squares / total - mean * mean));
  return [mean, deviation, ...quantilesOf(histogram, total).map((bin) => lowest + bin)];
}

/** Bins of the histogram. */
function quantilesOf(histogram: Uint32Array, total: number): number[] {
  let bin = 0;
  let below = histogram[0]!;
  return quantiles.map((quantile) => {
    const rank = Math.floor(quantile * (total - 1));
    while (below <= rank) below += histogram[++bin]!;
    return bin;
  });
}
