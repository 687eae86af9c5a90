import { ImageError, type Pixels, type Size } from './pixels.js';

/** What a BMP file says of its picture. No package reads odd widths, RLE and old headers to the bytes of Pillow. */
export interface BmpHeader extends Size {
  isTopDown: boolean;
  bits: number;
  isRunLength: boolean;
  /** Red, green and blue, of pixels with 16 or 32 bits. */
  masks: readonly number[];
  /** Blue, green and red of each colour, `colourBytes` apart. */
  paletteStart: number;
  colourBytes: number;
  colours: number;
  pixelsStart: number;
}

const BITFIELDS = 3;
const ALPHA_BITFIELDS = 6;
const depthsOf = new Map([
  [0, [1, 4, 8, 16, 24, 32]],
  [1, [8]], // run lengths
  [2, [4]],
  [BITFIELDS, [16, 32]],
  [ALPHA_BITFIELDS, [16, 32]],
]);
const truncated = () => new ImageError('truncated BMP: it ends within its picture');

/** BITMAPFILEHEADER (14 bytes), then a header of 12 bytes (OS/2), 40, or more of which the masks matter. */
export function readBmpHeader(bytes: Uint8Array): BmpHeader {
  if (bytes.length < 54) throw truncated();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const headerBytes = view.getUint32(14, true);
  const isOld = headerBytes === 12;
  const width = isOld ? view.getUint16(18, true) : view.getInt32(18, true);
  const height = isOld ? view.getInt16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(isOld ? 24 : 28, true);
  const compression = isOld ? 0 : view.getUint32(30, true);
  if (!depthsOf.get(compression)?.includes(bits))
    throw new ImageError(
      `BMP: expected 1, 4, 8, 16, 24 or 32 bits plain or with run lengths, got ${bits} bits, compression ${compression}`,
    );
  let masks = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  let paletteStart = 14 + headerBytes;
  if (compression === BITFIELDS || compression === ALPHA_BITFIELDS) {
    if (bytes.length < 66) throw truncated();
    masks = [54, 58, 62].map((at) => view.getUint32(at, true));
    if (headerBytes === 40) paletteStart += compression === BITFIELDS ? 12 : 16;
  }
  const used = isOld ? 0 : view.getUint32(46, true);
  return {
    width,
    height: Math.abs(height),
    isTopDown: height < 0,
    bits,
    isRunLength: compression === 1 || compression === 2,
    masks,
    paletteStart,
    colourBytes: isOld ? 3 : 4,
    colours: used > 0 && used < 2 ** bits ? used : 2 ** Math.min(bits, 8),
    pixelsStart: view.getUint32(10, true),
  };
}

/** The pixels as Pillow's convert('RGB') has them: alpha is dropped, 5 and 6 bits are scaled to 8 and cut. */
export function decodeBmp(bytes: Uint8Array, header: BmpHeader): Pixels {
  const { width, height, bits } = header;
  const data = new Uint8Array(width * height * 3);
  if (bits <= 8) writeIndexed(bytes, header, data);
  else if (bits === 24) eachRow(bytes, header, (from, to) => writeTriples(bytes, from, data, to, width));
  else writeMasked(bytes, header, data);
  return { data, width, height };
}

/** Calls with where each row of the file and of the picture begins; rows are padded to four bytes. */
function eachRow(
  bytes: Uint8Array,
  { width, height, bits, isTopDown, pixelsStart }: BmpHeader,
  row: (from: number, to: number) => void,
): void {
  const rowBytes = Math.ceil((width * bits) / 8);
  const stride = Math.ceil(rowBytes / 4) * 4;
  if (pixelsStart + stride * (height - 1) + rowBytes > bytes.length) throw truncated();
  for (let y = 0; y < height; y++)
    row(pixelsStart + y * stride, (isTopDown ? y : height - 1 - y) * width * 3);
}

function writeTriples(bytes: Uint8Array, from: number, data: Uint8Array, to: number, width: number): void {
  for (let x = 0; x < width * 3; x += 3) {
    data[to + x] = bytes[from + x + 2]!;
    data[to + x + 1] = bytes[from + x + 1]!;
    data[to + x + 2] = bytes[from + x]!;
  }
}

function writeMasked(bytes: Uint8Array, header: BmpHeader, data: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const pixelBytes = header.bits / 8;
  const bands = header.masks.map((mask) => {
    const unit = Math.max(1, (mask & -mask) >>> 0);
    return { mask, unit, most: Math.max(1, (mask >>> 0) / unit) };
  });
  eachRow(bytes, header, (from, to) => {
    for (let x = 0; x < header.width; x++) {
      const at = from + x * pixelBytes;
      const pixel = pixelBytes === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
      for (const [band, { mask, unit, most }] of bands.entries())
        data[to + 3 * x + band] = Math.floor(((((pixel & mask) >>> 0) / unit) * 255) / most);
    }
  });
}

function writeIndexed(bytes: Uint8Array, header: BmpHeader, data: Uint8Array): void {
  const { width, bits, paletteStart, colourBytes, colours } = header;
  const palette = new Uint8Array(256 * 3); // what the file has no colour for is black
  for (let i = 0; i < colours; i++) writeTriples(bytes, paletteStart + i * colourBytes, palette, 3 * i, 1);
  const put = (to: number, index: number) => {
    for (let band = 0; band < 3; band++) data[to + band] = palette[3 * index + band]!;
  };
  if (header.isRunLength) {
    readRunLengths(bytes, header, put);
    return;
  }
  const perByte = 8 / bits;
  eachRow(bytes, header, (from, to) => {
    for (let x = 0; x < width; x++) {
      const shift = 8 - bits - (x % perByte) * bits;
      put(to + 3 * x, (bytes[from + Math.floor(x / perByte)]! >> shift) & (2 ** bits - 1));
    }
  });
}

/** BI_RLE8 and BI_RLE4: a count and a value, or 0 and an escape. What is skipped has the first colour. */
function readRunLengths(
  bytes: Uint8Array,
  { width, height, bits, isTopDown, pixelsStart }: BmpHeader,
  put: (to: number, index: number) => void,
): void {
  for (let i = 0; i < width * height; i++) put(3 * i, 0);
  let at = pixelsStart;
  const next = (): number => {
    if (at >= bytes.length) throw truncated();
    return bytes[at++]!;
  };
  let [x, y] = [0, 0];
  const pixel = (index: number) => {
    if (x < width && y < height) put(((isTopDown ? y : height - 1 - y) * width + x) * 3, index);
    x++;
  };
  const nibble = (value: number, i: number) => (bits === 8 ? value : i % 2 === 0 ? value >> 4 : value & 15);
  while (y < height) {
    const [count, value] = [next(), next()];
    if (count > 0) for (let i = 0; i < count; i++) pixel(nibble(value, i));
    else if (value === 1) return;
    else if (value === 0) [x, y] = [0, y + 1];
    else if (value === 2) [x, y] = [x + next(), y + next()];
    else {
      let byte = 0;
      for (let i = 0; i < value; i++) {
        if (bits === 8 || i % 2 === 0) byte = next();
        pixel(nibble(byte, i));
      }
      if (Math.ceil((value * bits) / 8) % 2 === 1) next(); // absolute runs are padded to two bytes
    }
  }
}
