import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Manifest } from '../../src/artifact/manifest.js';
import { writeArtifacts } from '../../src/artifact/write.js';
import type { HostBatch } from '../../src/train/engine/batch-tensors.js';
import type { RunEvents } from '../../src/train/observer.js';
import type { PretrainOptions } from '../../src/train/options.js';
import { pretrainDefaults } from '../../src/train/options.js';
import { tinyModel } from '../support/cli-files.js';
import { type MaeArtifactOptions as ArtifactOptions, buildArtifacts } from '../support/mae-graphs.js';
import { randomBytes, randomShuffle } from '../support/random.js';

/** A folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mae-train-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Artefacts of the tiny model in a folder of the test. */
export function tinyArtifacts(
  batchSize: number,
  {
    accumulate = false,
    normPixLoss = true,
    kernelPrecision,
    lacks,
  }: Partial<Pick<ArtifactOptions, 'accumulate' | 'normPixLoss' | 'kernelPrecision' | 'lacks'>> = {},
): { folder: string; manifest: Manifest } {
  const options = { batchSize, maskRatio: 0.75, normPixLoss, accumulate, kernelPrecision, lacks };
  const artifacts = buildArtifacts(tinyModel, options);
  const folder = temporaryFolder();
  writeArtifacts(artifacts, folder);
  return { folder, manifest: artifacts.manifest };
}

/** Random images and masks. */
export function randomBatch(seed: number, batchSize: number, { inputs }: Manifest): HostBatch {
  const patches = inputs.find(({ name }) => name === 'ids_shuffle')!.shape[1]!;
  return {
    images: randomBytes(seed, batchSize * tinyModel.inputSize ** 2 * 3),
    ids_shuffle: randomShuffle(seed, batchSize, patches),
  };
}

/** The parts of a batch, in its order. */
export function splitBatch(batch: HostBatch, count: number): HostBatch[] {
  return Array.from({ length: count }, (_, i) =>
    Object.fromEntries(
      Object.entries(batch).map(([name, array]) => {
        const length = array.length / count;
        return [name, array.slice(i * length, (i + 1) * length)];
      }),
    ),
  );
}

export function optionsOf(changes: Partial<PretrainOptions> = {}): PretrainOptions {
  return { ...pretrainDefaults, exifRotation: true, dataPath: 'images', outputDir: 'run', ...changes };
}

/** What observers are told of a step of a run with two steps an epoch. */
export function stepOf(step: number, isLogged = true): RunEvents['stepped'] {
  const epoch = Math.floor((step - 1) / 2);
  const speed = { imagesPerSecond: 10, dataWait: 0.25 };
  const gradient = { gradientNorm: 2, lossScale: undefined };
  return { step, epoch, loss: 1 / step, lr: 1e-3, ...gradient, ...speed, skippedImages: 0, isLogged };
}

export function startOf(step: number, totalSteps: number): RunEvents['started'] {
  return { step, totalSteps, epochs: 3, resumedFrom: undefined, device: 'CPU', compute: 'float32' };
}
