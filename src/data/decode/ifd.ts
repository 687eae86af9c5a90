/** A field of a TIFF directory: its first values, and where they stand in the file. */
export interface IfdField {
  readonly values: readonly number[];
  readonly at: number;
  /** Length of each value in bytes. */
  readonly bytes: number;
}

export interface Ifd {
  readonly littleEndian: boolean;
  readonly fields: ReadonlyMap<number, IfdField>;
}

/** Bytes of a value by its type: BYTE, SHORT, LONG and BigTIFF's LONG8; the others are not asked for. */
const valueBytes = new Map([
  [1, 1],
  [3, 2],
  [4, 4],
  [16, 8],
]);
/** More bands than this tell nothing more. */
const maxValues = 64;

/**
 * The first directory of a TIFF or BigTIFF file, or of an EXIF block, which has the same form (TIFF 6.0, section 2).
 * Undefined where it does not lie within the bytes; fields that do not are left out.
 */
export function readFirstIfd(bytes: Uint8Array): Ifd | undefined {
  if (bytes.length < 8) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const littleEndian = bytes[0] === 0x49;
  const number = (at: number, length: number): number => {
    if (length === 1) return view.getUint8(at);
    if (length === 2) return view.getUint16(at, littleEndian);
    if (length === 4) return view.getUint32(at, littleEndian);
    return Number(view.getBigUint64(at, littleEndian));
  };
  const magic = number(2, 2);
  const isBig = magic === 43;
  if ((!isBig && magic !== 42) || (isBig && bytes.length < 16)) return undefined;
  // widths of the count of entries, of an entry's count of values, and of an offset
  const [countBytes, offsetBytes] = isBig ? [8, 8] : [2, 4];
  const start = isBig ? number(8, 8) : number(4, 4);
  if (start + countBytes > bytes.length) return undefined;
  const entryBytes = 4 + 2 * offsetBytes;
  const first = start + countBytes;
  const entries = Math.min(number(start, countBytes), Math.floor((bytes.length - first) / entryBytes));
  const fields = new Map<number, IfdField>();
  for (let i = 0; i < entries; i++) {
    const entry = first + i * entryBytes;
    const length = valueBytes.get(number(entry + 2, 2));
    const count = number(entry + 4, offsetBytes);
    if (length === undefined || count < 1) continue;
    const place = entry + 4 + offsetBytes;
    const at = count * length <= offsetBytes ? place : number(place, offsetBytes);
    const read = Math.min(count, maxValues);
    if (at + read * length > bytes.length) continue;
    fields.set(number(entry, 2), {
      values: Array.from({ length: read }, (_, k) => number(at + k * length, length)),
      at,
      bytes: length,
    });
  }
  return { littleEndian, fields };
}

const ORIENTATION = 0x0112;

/** How a picture is turned, 1 (upright) … 8: see `turned`. Anything else counts as upright. */
export function orientationOf(ifd: Ifd | undefined): number {
  const orientation = ifd?.fields.get(ORIENTATION)?.values[0] ?? 1;
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}
