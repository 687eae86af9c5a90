/** Pictures of every depth and colour, as make_picture_kinds.py writes them, and what a person is told of them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ImageDecoder } from '../../src/data/decode/decode.js';
import { ImageError } from '../../src/data/decode/pixels.js';
import { sharpUnavailable } from '../../src/data/decode/sharp.js';
import { readableFormats, sniffFormat } from '../../src/data/decode/sniff.js';
import { turboJpegUnavailable } from '../../src/data/decode/turbojpeg.js';
import { toBytes } from '../../src/data/decode/values.js';
import { loadImage } from '../../src/data/load-image.js';
import { RandomStream } from '../../src/util/random.js';
import { difference, golden, temporaryFolder } from './support.js';

type Kind = { file: string } & (
  | { rgb: string; width: number; height: number; tolerance: number; note: string | null }
  | { reason: string }
);
const kinds = Object.entries(
  (JSON.parse(golden('kinds.json').toString()) as { kinds: Record<string, Kind> }).kinds,
);
const decoder = new ImageDecoder();
const bytesOf = (text: string) => Buffer.from(text, 'base64');

describe('pictures are what their files say', () => {
  test.each(kinds)('%s', async (_, kind) => {
    const bytes = bytesOf(kind.file);
    const before = Buffer.from(bytes);
    if ('reason' in kind) {
      const decoding = decoder.decode(bytes);
      await expect(decoding).rejects.toThrow(ImageError);
      await expect(decoding).rejects.toThrow(kind.reason);
      return;
    }
    const { width, height, tolerance, note } = kind;
    const { data, notes = [], ...size } = await decoder.decode(bytes);
    expect(size).toMatchObject({ width, height });
    expect(difference(data, bytesOf(kind.rgb)).most).toBeLessThanOrEqual(tolerance);
    expect(notes.map(({ text }) => text)).toEqual(note === null ? [] : [note]);
    expect(bytes.equals(before)).toBe(true);
  });

  test('lossless JPEG is read alike by both libraries', async () => {
    const [, kind] = kinds.find(([name]) => name === 'lossless.jpg')!;
    const wanted = bytesOf((kind as { rgb: string }).rgb);
    const available = [
      ...(turboJpegUnavailable() ? [] : (['turbojpeg'] as const)),
      ...((await sharpUnavailable()) ? [] : (['sharp'] as const)),
    ];
    for (const name of available) {
      const { data } = await new ImageDecoder(name).decode(bytesOf(kind.file));
      expect(difference(data, wanted).most, name).toBe(0);
    }
    await expect(new ImageDecoder('jpeg-js').decode(bytesOf(kind.file))).rejects.toThrow(
      /lossless JPEG \(SOF3\) needs/,
    );
  });

  test('loadImage tells the note', async () => {
    const path = join(temporaryFolder(), 'deep.tif');
    writeFileSync(path, bytesOf(kinds.find(([name]) => name === '12-bit.tif')![1].file));
    const notes: string[] = [];
    await loadImage(path, { height: 5, width: 7, fit: 'crop', note: ({ text }) => notes.push(text) });
    expect(notes).toEqual(['16-bit values up to 4080 are taken as 12-bit']);
  });
});

test('a picture without a value above 0 is black, and nothing is said of it', () => {
  const samples = { bits: 16, kind: 'unsigned', isFullRange: false, whiteIsZero: false } as const;
  expect(toBytes({ ...samples, values: new Uint16Array(3) })).toEqual({ data: new Uint8Array(3), notes: [] });
});

describe('what is no picture', () => {
  const u16 = (...numbers: number[]) => Buffer.from(Uint16Array.from(numbers).buffer).toString('latin1');
  test.each([
    ['<!DOCTYPE html><html>404', 'HTML'],
    ['\r\n<html lang="en">', 'HTML'],
    ['<?xml version="1.0"?>\n<svg xmlns="">', 'SVG'],
    ['<svg xmlns="">', 'SVG'],
    ['<?xml version="1.0"?><Error/>', 'XML'],
    ['{"error": "not found"}', 'JSON'],
    ['version https://git-lfs.github.com/spec/v1\n', 'a Git LFS pointer'],
    ['%PDF-1.7', 'PDF'],
    ['\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'HEIC'],
    ['\0\0\0\x18ftypmif1\0\0\0\0mif1heic', 'HEIC'],
    ['\0\0\0\x18ftypisom\0\0\0\0isommp41', 'a video'],
    ['\0\0\0\x0cjP  \r\n\x87\n', 'JPEG 2000'],
    ['\xff\x0a\xfa\x1f', 'JPEG XL'],
    ['8BPS\0\x01', 'a Photoshop file'],
    ['P6\n3 2\n255\n', 'a PNM picture'],
    ['\0\x05\x16\x07\0\x02\0\0Mac OS X', 'what macOS keeps beside a file'],
    ['PK\x03\x04', 'a zip archive'],
    [`${'\0'.repeat(128)}DICM`, 'DICOM'],
  ])('%j is %s', (start, name) => {
    expect(() => sniffFormat(Buffer.from(start, 'latin1'))).toThrow(
      `not a ${readableFormats} image: it is ${name}`,
    );
  });

  test.each([
    ['hello, world', 'begins with "hello, world"'],
    ['BMW of 1985, a car', 'begins with "BMW of 1985, a car"'],
    ['\0'.repeat(99), 'begins with zeros'],
    [u16(0x1234, 0x8001), 'begins with the bytes 34120180'],
  ])('%j %s', (start, words) => {
    expect(() => sniffFormat(Buffer.from(start, 'latin1'))).toThrow(`image: it ${words}`);
  });
});

describe('sizes', () => {
  const png = (width: number, height: number) => {
    const bytes = Buffer.from(golden('rgba.png'));
    bytes.writeUInt32BE(width, 16);
    bytes.writeUInt32BE(height, 20);
    return bytes;
  };
  test.each([
    [png(0, 5), '0 x 5'],
    [png(100_000, 100_000), '100000 x 100000'],
  ])('beyond the limits are named', async (bytes, size) => {
    await expect(decoder.size(bytes)).rejects.toThrow(`expected 1 to 268435456 pixels, got ${size}`);
  });

  test('of a TIFF are read from its directory', async () => {
    const bytes = bytesOf(kinds.find(([name]) => name === 'planar.tif')![1].file);
    const at = bytes.indexOf(Buffer.from([0, 1])); // ImageWidth, 256
    const entry = bytes.readUInt16LE(at) === 256 ? at : bytes.indexOf(Buffer.from([0, 1, 3, 0]));
    bytes.writeUInt16LE(0, entry + 8);
    await expect(decoder.size(bytes)).rejects.toThrow('got 0 x 5');
  });
});

test('damaged bytes end as an ImageError or as a picture, whatever the damage', async () => {
  const random = new RandomStream(7, 'sample');
  const started = kinds.filter(([name]) =>
    /^(16-bit|float|big|cmyk|rle|bitfields|palette|transparent|12-bit\.)/.test(name),
  );
  const files = [...started.map(([, { file }]) => bytesOf(file)), golden('exif-6.jpg')];
  const outcomes = { read: 0, refused: 0 };
  for (const file of files) {
    for (let trial = 0; trial < 30; trial++) {
      const bytes = Buffer.from(file).subarray(
        0,
        random.float() < 0.2 ? random.int(file.length) : file.length,
      );
      // in the headers, mostly: that is where sizes and places are
      for (let i = 0; i <= random.int(4); i++)
        if (bytes.length > 4) bytes[4 + random.int(Math.min(bytes.length - 4, 300))] = random.int(256);
      try {
        const header = await decoder.header(bytes, true);
        if (header.width * header.height > 1e5) continue;
        await decoder.decode(bytes, true);
        outcomes.read++;
      } catch (error) {
        if (!(error instanceof ImageError)) throw error;
        outcomes.refused++;
      }
    }
  }
  expect(outcomes.read).toBeGreaterThan(30);
  expect(outcomes.refused).toBeGreaterThan(100);
});
