import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadImage } from '../../src/data/load-image.js';
import { UserError } from '../../src/util/errors.js';
import { difference, golden, goldenPath, goldens, temporaryFolder } from './support.js';

describe('loadImage', () => {
  test.each([1, 2, 3, 4, 5, 6, 7, 8])('turns EXIF orientation %i upright', async (orientation) => {
    const name = `exif-${orientation}.jpg`;
    const [height, width] = orientation < 5 ? [40, 24] : [24, 40];
    const loaded = await loadImage(goldenPath(name), { height, width, fit: 'squash' });
    expect(difference(loaded, golden(`${name}.rgb`)).mean).toBeLessThan(0.1);
  });

  test.each(['baseline-420.jpg', 'png-named.JPEG', 'rgba.png', 'lossless.webp', 'lzw.tif', 'grey.tiff'])(
    '%s: squash to its own size gives its pixels',
    async (name) => {
      const loaded = await loadImage(goldenPath(name), { ...goldens.files[name]!, fit: 'squash' });
      expect(difference(loaded, golden(`${name}.rgb`)).mean).toBeLessThan(0.1);
    },
  );

  test('crop cuts the middle out', async () => {
    const loaded = await loadImage(goldenPath('lzw.tif'), { height: 40, width: 40, fit: 'crop' });
    const whole = golden('lzw.tif.rgb'); // [40, 56, 3]
    const rows = Array.from({ length: 40 }, (_, y) => whole.subarray((y * 56 + 8) * 3, (y * 56 + 48) * 3));
    expect(difference(loaded, Buffer.concat(rows)).most).toBe(0);
  });

  test('a file that cannot be read is a UserError with its name', async () => {
    const folder = temporaryFolder();
    const files = {
      'empty.jpg': '',
      'text.png': 'no picture',
      'cut.jpg': golden('pipeline.jpg').subarray(0, 9000),
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    for (const name of [...Object.keys(files), 'missing.jpg', '.']) {
      const loading = loadImage(join(folder, name), { height: 8, width: 8, fit: 'crop' });
      await expect(loading).rejects.toThrow(UserError);
      await expect(loading).rejects.toThrow(join(folder, name));
    }
  });
});
