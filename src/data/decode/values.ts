import { ImageError, type PictureNote } from './pixels.js';

/** The values of a picture as its file has them. */
export interface Samples {
  values: ArrayLike<number>;
  bits: number;
  kind: 'unsigned' | 'signed' | 'float';
  /** Whether the format or the file says that the values span all of `bits`. */
  isFullRange: boolean;
  /** Whether 0 is white. */
  whiteIsZero: boolean;
}

/** Bits that cameras, scanners and instruments have, and the words that hold them. */
const ranges = [8, 10, 12, 14, 16, 24, 32];
/** The largest value of a float picture that is taken as 0 … 255: one that stays below is 0 … 1 with values beyond it. */
const leastOf255 = 16;

/**
 * The values as bytes, by one rule for each kind; its docs are in docs/picture-kinds.md.
 * Integers of more than 8 bits: of 8, 10, 12, 14, 16, 24 and 32 bits the fewest that hold the picture's largest value are
 * its range, and the high 8 of these are kept. Floats: 0 … 1 times 255, or 0 … 255 as they are, rounded; no gamma. The note
 * names the range that was found, where it was not plain from the file. Everything else is an ImageError with its range.
 */
export function toBytes(samples: Samples): { data: Uint8Array; notes: PictureNote[] } {
  const { low, high, areFinite } = rangeOf(samples.values);
  const { kind, bits } = samples;
  const range = `${bits}-bit ${kind === 'float' ? 'float' : kind} values from ${rounded(low)} to ${rounded(high)}`;
  if (kind !== 'float') {
    if (low < 0) throw new ImageError(`${range}; expected none below 0: shift or scale them`);
    return integersToBytes(samples, high);
  }
  if (!areFinite)
    throw new ImageError(`${range} with NaN or infinity among them; expected 0 to 1, or 0 to 255`);
  const isUnit = high <= 1;
  if (low < 0 || high > 255 || (!isUnit && high < leastOf255))
    throw new ImageError(`${range}; expected 0 to 1, or 0 to 255: scale them`);
  const scale = isUnit ? 255 : 1;
  const data = Uint8Array.from(samples.values, (value) => Math.round(value * scale));
  if (samples.whiteIsZero) invert(data);
  const text = `${range} are taken as 0 to ${isUnit ? 1 : 255}, without gamma`;
  return { data, notes: [{ kind: `float 0 to ${scale}`, text }] };
}

function integersToBytes({ values, bits, isFullRange, whiteIsZero }: Samples, high: number) {
  const range = isFullRange ? bits : ranges.find((each) => high < 2 ** each)!;
  const step = 2 ** (range - 8);
  const data = new Uint8Array(values.length);
  for (let i = 0; i < data.length; i++) data[i] = Math.floor(values[i]! / step);
  if (whiteIsZero) invert(data);
  const notes: PictureNote[] = [];
  if (range < bits && high > 0) {
    notes.push({
      kind: `${bits}-bit as ${range}-bit`,
      text: `${bits}-bit values up to ${high} are taken as ${range}-bit`,
    });
  }
  return { data, notes };
}

function invert(data: Uint8Array): void {
  for (let i = 0; i < data.length; i++) data[i] = 255 - data[i]!;
}

/** The range of the finite values. */
function rangeOf(values: ArrayLike<number>): { low: number; high: number; areFinite: boolean } {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let areFinite = true;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) {
      areFinite = false;
      continue;
    }
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high, areFinite };
}

const rounded = (value: number) => Number(value.toPrecision(5));
