import { TrainLoader } from '../data/loader.js';
import type { ImageSource } from '../data/sources/source.js';
import { addSeconds, noSeconds, type StageSeconds } from '../data/stage-seconds.js';

export interface LoaderBenchmarkOptions {
  source: ImageSource;
  /** Height and width of what the model sees. */
  inputSize?: number;
  /** Threads that decode; 0 decodes on the calling thread. */
  workers?: number;
  batchSize?: number;
  patchSize?: number;
  seed?: number;
  /** Ends after this long … */
  seconds?: number;
  /** … or after this many images, whichever comes first. */
  images?: number;
}

export interface LoaderBenchmark {
  images: number;
  seconds: number;
  imagesPerSecond: number;
  /** Seconds for each image, of the thread that loaded it: with n busy workers their sum is n / imagesPerSecond. */
  stages: StageSeconds;
}

/**
 * How fast the loader of pretraining is when nobody but the loader works: batches are given back as soon as they
 * come. Counting starts after the first batches, when workers run and their code is compiled.
 */
export async function benchmarkLoader({
  source,
  inputSize = 224,
  workers = 1,
  batchSize = 64,
  patchSize = 16,
  seed = 0,
  seconds = 10,
  images = Number.POSITIVE_INFINITY,
}: LoaderBenchmarkOptions): Promise<LoaderBenchmark> {
  const rows = Math.min(batchSize, source.length);
  const loader = new TrainLoader({
    source,
    inputs: [
      { name: 'images', type: 'uint8', shape: [rows, inputSize, inputSize, 3], content: 'pixels' },
      {
        name: 'ids_shuffle',
        type: 'int64',
        shape: [rows, Math.floor(inputSize / patchSize) ** 2],
        content: 'permutation',
      },
    ],
    seed,
    numWorkers: workers,
    startEpoch: 0,
    startBatch: 0,
  });
  try {
    const warmUpBatches = Math.max(1, 2 * workers);
    for (let i = 0; i < warmUpBatches; i++) (await loader.next()).release();
    const stages = noSeconds();
    const start = performance.now();
    let count = 0;
    let elapsed = 0;
    while (elapsed < seconds && count < images) {
      const batch = await loader.next();
      count += rows;
      addSeconds(stages, batch.seconds);
      batch.release();
      elapsed = (performance.now() - start) / 1000;
    }
    for (const stage of Object.keys(stages) as (keyof StageSeconds)[]) stages[stage] /= count;
    return { images: count, seconds: elapsed, imagesPerSecond: count / elapsed, stages };
  } finally {
    await loader.close();
  }
}
