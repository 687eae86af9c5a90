import { readFileSync } from 'node:fs';
import { afterAll, describe, expect, test } from 'vitest';
import { ImageDecoder, type JpegDecoder } from '../../src/data/decode/decode.js';
import { type DecodedRegion, ImageError, type Pixels, type Region } from '../../src/data/decode/pixels.js';
import { readableFormats, sniffFormat } from '../../src/data/decode/sniff.js';
import { turboJpegUnavailable } from '../../src/data/decode/turbojpeg.js';
import { BicubicResampler } from '../../src/data/resample.js';
import { difference, golden, goldens } from './support.js';

const missing = turboJpegUnavailable();
if (missing !== undefined) console.warn(`libjpeg-turbo is not tested: ${missing}`);
const jpegDecoders: JpegDecoder[] = missing ? ['sharp', 'jpeg-js'] : ['turbojpeg', 'sharp', 'jpeg-js'];
if (missing) console.log(`not testing libturbojpeg here: ${missing}`);
const decoders = new Map(jpegDecoders.map((name) => [name, new ImageDecoder(name)]));
const decoder = new ImageDecoder();
afterAll(() => {
  for (const each of [decoder, ...decoders.values()]) each.close();
});

const jpegs = ['baseline-420.jpg', 'baseline-422.jpg', 'baseline-444.jpg', 'grey.jpg', 'progressive.jpg'];
const exact = Object.keys(goldens.files).filter((name) => !/\.jpg$|lossy/.test(name));

describe('pixels equal those of Pillow', () => {
  test.each(exact)('%s, exactly', async (name) => {
    const { data, ...size } = await decoder.decode(golden(name));
    expect({ width: size.width, height: size.height }).toEqual(goldens.files[name]);
    expect(await decoder.size(golden(name))).toEqual(goldens.files[name]);
    expect(difference(data, golden(`${name}.rgb`)).most).toBe(0);
  });

  test('lossy.webp, nearly: its chroma is interpolated', async () => {
    const { data } = await decoder.decode(golden('lossy.webp'));
    expect(difference(data, golden('lossy.webp.rgb')).mean).toBeLessThan(1);
  });

  test.each(jpegDecoders.flatMap((name) => jpegs.map((file) => [name, file] as const)))(
    '%s: %s',
    async (name, file) => {
      const bytes = golden(file);
      const { data, width, height } = await decoders.get(name)!.decode(bytes);
      expect({ width, height }).toEqual(goldens.files[file]);
      const { mean, most } = difference(data, golden(`${file}.rgb`));
      // jpeg-js repeats chroma samples where the others interpolate them.
      expect(mean).toBeLessThan(name === 'jpeg-js' ? 3.5 : 0.1);
      if (name !== 'jpeg-js') expect(most).toBeLessThanOrEqual(3);
    },
  );

  test.each(jpegDecoders)('%s: cmyk.jpg', async (name) => {
    const { data } = await decoders.get(name)!.decode(golden('cmyk.jpg'));
    expect(difference(data, golden('cmyk.jpg.rgb')).mean).toBeLessThan(1);
  });
});

/** The largest difference between a region and the same place of the whole picture. */
function farthest(part: DecodedRegion, whole: Pixels, { left, top, width, height }: Region): number {
  let most = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width * 3; x++) {
      const got = part.data[((part.box.top + y) * part.width + part.box.left) * 3 + x]!;
      const wanted = whole.data[((top + y) * whole.width + left) * 3 + x]!;
      most = Math.max(most, Math.abs(got - wanted));
    }
  }
  return most;
}

describe('parts of a JPEG', () => {
  test.each(jpegDecoders)('%s: a region holds what the whole picture holds there', async (name) => {
    const each = decoders.get(name)!;
    for (const file of [
      'pipeline.jpg',
      'baseline-422.jpg',
      'baseline-444.jpg',
      'grey.jpg',
      'progressive.jpg',
    ]) {
      const bytes = golden(file);
      const whole = await each.decode(bytes);
      const full = { ...whole, data: Uint8Array.from(whole.data) };
      for (const [left, top, width, height] of [
        [0, 0, 1, 1],
        [17, 9, 20, 25],
        [full.width - 13, full.height - 7, 13, 7],
        [16, 16, 24, 16],
      ] as const) {
        const part = await each.decodeRegion(bytes, { left, top, width, height }, { height, width });
        expect(part.box.width).toBe(width);
        expect(part.box.height).toBe(height);
        const region = { left, top, width, height };
        expect(farthest(part, full, region), `${file} ${left},${top} ${width}x${height}`).toBeLessThanOrEqual(
          1,
        );
      }
    }
  });

  test.skipIf(missing)(
    'unusual sampling factors: a region holds what the whole picture holds there',
    async () => {
      const turbo = decoders.get('turbojpeg')!;
      const cases: [string, ...number[]][] = [
        ['grey.jpg', 0x22], // one component: the factors mean nothing
        ['baseline-444.jpg', 0x31, 0x31, 0x31], // the rest scramble the picture, the same way each time
        ['baseline-444.jpg', 0x21, 0x21, 0x11],
        ['baseline-444.jpg', 0x42, 0x11, 0x11],
      ];
      for (const [file, ...factors] of cases) {
        const bytes = Buffer.from(golden(file));
        const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
        for (const [i, factor] of factors.entries()) bytes[frame + 11 + 3 * i] = factor;
        const whole = await turbo.decode(bytes);
        const full = { ...whole, data: Uint8Array.from(whole.data) };
        if (file === 'grey.jpg') expect(difference(full.data, golden('grey.jpg.rgb')).mean).toBeLessThan(0.1);
        const region = { left: 33, top: 9, width: 20, height: 25 };
        expect(
          farthest(await turbo.decodeRegion(bytes, region, region), full, region),
          file,
        ).toBeLessThanOrEqual(1);
      }
    },
  );

  test.skipIf(missing)(
    'only the region and what lies around it is decoded, and reduced no further than the target',
    async () => {
      const turbo = decoders.get('turbojpeg')!;
      const bytes = golden('pipeline.jpg');
      const region = { left: 100, top: 100, width: 400, height: 300 };
      const sizeAt = async (side: number) => {
        const { width, height, box } = await turbo.decodeRegion(bytes, region, { height: side, width: side });
        expect(box.width).toBeGreaterThanOrEqual(side);
        expect(box.height).toBeGreaterThanOrEqual(side);
        expect(width).toBeLessThan(box.width + 32);
        expect(height).toBeLessThan(box.height + 32);
        return box.width;
      };
      expect(await sizeAt(224)).toBe(400);
      expect(await sizeAt(151)).toBe(400);
      expect(await sizeAt(150)).toBe(200);
      expect(await sizeAt(75)).toBe(100);
      expect(await sizeAt(10)).toBe(50);
    },
  );

  test.each(goldens.pipeline.map((region, i) => ({ i, ...region })))(
    'crop and resize like torchvision: $width x $height at $left, $top',
    async ({ i, left, top, width, height }) => {
      const region = { left, top, width, height };
      const pixels = await decoder.decodeRegion(golden('pipeline.jpg'), region, { height: 64, width: 64 });
      const out = new Uint8Array(64 * 64 * 3);
      new BicubicResampler().resample(pixels, pixels.box, out, 64, 64, { clipToBox: true });
      expect(difference(out, golden(`pipeline-${i}.rgb`)).mean).toBeLessThan(2);
    },
  );
});

describe('bad files', () => {
  const decodePart = (name: JpegDecoder, bytes: Uint8Array) =>
    decoders
      .get(name)!
      .decodeRegion(bytes, { left: 0, top: 0, width: 8, height: 8 }, { height: 8, width: 8 });

  test.each(jpegDecoders)('%s: a truncated JPEG is refused even where the region is whole', async (name) => {
    for (const file of ['pipeline.jpg', 'progressive.jpg', 'cmyk.jpg']) {
      const bytes = golden(file);
      for (const share of [0.001, 0.02, 0.3, 0.6, 0.9, 0.999]) {
        const cut = bytes.subarray(0, Math.max(3, Math.floor(bytes.length * share)));
        await expect(decodePart(name, cut), `${file} at ${share}`).rejects.toThrow(ImageError);
      }
      await expect(decodePart(name, bytes.subarray(0, -2))).rejects.toThrow(/truncated JPEG/);
      await expect(decodePart(name, bytes)).resolves.toBeDefined();
    }
  });

  test.each(['rgba.png', 'palette.png', 'lossless.webp', 'lossy.webp', 'lzw.tif', 'rgb16.png'])(
    'a truncated %s is refused',
    async (name) => {
      const bytes = golden(name);
      for (const share of [0.1, 0.5, 0.9]) {
        const cut = bytes.subarray(0, Math.floor(bytes.length * share));
        await expect(decoder.decode(cut), `at ${share}`).rejects.toThrow(ImageError);
      }
    },
  );

  test('stray bytes after the picture, or before a marker, do no harm', async () => {
    const bytes = golden('baseline-420.jpg');
    const wanted = Uint8Array.from((await decoder.decode(bytes)).data);
    const trailing = Buffer.concat([bytes, Buffer.alloc(100, 0x5a)]);
    const before = Buffer.concat([bytes.subarray(0, -2), Buffer.alloc(3), bytes.subarray(-2)]);
    for (const odd of [trailing, before]) {
      expect(difference((await decoder.decode(odd)).data, wanted).most).toBe(0);
    }
  });

  test.skipIf(missing)('data lost in the middle is noticed', async () => {
    const bytes = golden('pipeline.jpg');
    const gap = Buffer.concat([bytes.subarray(0, 20_000), bytes.subarray(-2)]);
    await expect(decoders.get('turbojpeg')!.decode(gap)).rejects.toThrow(/truncated JPEG/);
  });

  test('empty files and other kinds are named', async () => {
    expect(() => sniffFormat(new Uint8Array(0))).toThrow('empty file');
    for (const text of ['hello, world', '\xff\xd8', '<svg xmlns="">', 'BM......']) {
      const bytes = Buffer.from(text, 'latin1');
      await expect(decoder.decode(bytes)).rejects.toThrow(`not a ${readableFormats} image`);
      await expect(decoder.size(bytes)).rejects.toThrow(ImageError);
    }
    // The right first bytes and nothing behind them.
    const noise = Buffer.from(Array.from({ length: 400 }, (_, i) => (i * 89) % 251));
    for (const start of ['\xff\xd8\xff\xe0', '\x89PNG\r\n\x1a\n', 'RIFF\x10\0\0\0WEBP', 'II*\0']) {
      const bytes = Buffer.concat([Buffer.from(start, 'latin1'), noise]);
      await expect(decoder.decode(bytes), JSON.stringify(start)).rejects.toThrow(ImageError);
    }
  });

  test('a size beyond all measure is refused before memory is taken', async () => {
    const bytes = Buffer.from(readFileSync(new URL('goldens/baseline-420.jpg', import.meta.url)));
    const frame = bytes.indexOf(Buffer.from([0xff, 0xc0]));
    bytes.writeUInt16BE(65_500, frame + 5);
    bytes.writeUInt16BE(65_500, frame + 7);
    await expect(decoder.decode(bytes)).rejects.toThrow(/pixels, got 65500 x 65500/);
  });
});
