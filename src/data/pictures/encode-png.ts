import { deflateSync } from 'node:zlib';
import { crc32 } from '../../util/crc.js';

/** Pixels as rows of red, green and blue bytes. */
export interface RgbPicture {
  readonly width: number;
  readonly height: number;
  /** uint8 [height, width, 3] */
  readonly data: Uint8Array;
}

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** An 8-bit RGB PNG by Node's zlib alone: training needs no library of images for it. Same pixels, same bytes. */
export function encodePng({ width, height, data }: RgbPicture, exif?: Uint8Array): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8); // bits, RGB
  const pixels = deflateSync(filterRows(data, width * 3, height));
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    ...(exif === undefined ? [] : [chunk('eXIf', exif)]),
    chunk('IDAT', pixels),
    chunk('IEND', Buffer.of()),
  ]);
}

/** Each row less the one above it (filter 2): enlarged pixels become zeros. */
function filterRows(data: Uint8Array, rowBytes: number, rows: number): Uint8Array {
  const filtered = new Uint8Array((rowBytes + 1) * rows);
  for (let row = 0; row < rows; row++) {
    const [from, to] = [row * rowBytes, row * (rowBytes + 1)];
    filtered[to] = 2;
    for (let i = 0; i < rowBytes; i++) {
      filtered[to + 1 + i] = data[from + i]! - (row === 0 ? 0 : data[from + i - rowBytes]!);
    }
  }
  return filtered;
}

/** Length, name, data, checksum of name and data. */
function chunk(name: string, data: Uint8Array): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32BE(data.length);
  head.write(name, 4, 'latin1');
  const tail = Buffer.alloc(4);
  tail.writeUInt32BE(crc32(head.subarray(4), data));
  return Buffer.concat([head, data, tail]);
}
