import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { benchmarkLoader } from '../../src/bench/loader.js';
import { indexImageFolder } from '../../src/data/sources/image-folder.js';
import { golden, temporaryFolder } from '../data/support.js';

test.each([0, 2])('the time of %i workers is told apart and adds up', async (workers) => {
  const dataPath = temporaryFolder();
  for (let i = 0; i < 8; i++) writeFileSync(join(dataPath, `${i}.jpg`), golden('pipeline.jpg'));
  const { images, seconds, imagesPerSecond, stages } = await benchmarkLoader({
    source: await indexImageFolder(dataPath),
    inputSize: 64,
    workers,
    batchSize: 4,
    images: 40,
  });
  expect(images).toBe(40);
  expect(imagesPerSecond).toBeCloseTo(images / seconds);
  for (const stage of Object.values(stages)) expect(stage).toBeGreaterThan(0);
  const sum = Object.values(stages).reduce((a, b) => a + b, 0);
  // Workers fill a few batches more than were counted.
  if (workers === 0) expect(sum * images).toBeLessThanOrEqual(seconds);
  else expect(sum).toBeLessThan(1);
});
