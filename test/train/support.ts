import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Manifest } from '../../src/artifact/manifest.js';
import { writeArtifacts } from '../../src/artifact/write.js';
import type { MicroBatch } from '../../src/train/engine/trainer.js';
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
export function randomBatch(seed: number, batchSize: number, { patches }: Manifest): MicroBatch {
  return {
    images: randomBytes(seed, batchSize * tinyModel.inputSize ** 2 * 3),
    idsShuffle: randomShuffle(seed, batchSize, patches),
  };
}

/** The parts of a batch, in its order. */
export function splitBatch({ images, idsShuffle }: MicroBatch, count: number): MicroBatch[] {
  return Array.from({ length: count }, (_, i) => ({
    images: part(images, i, count),
    idsShuffle: part(idsShuffle, i, count),
  }));
}

function part<T extends Uint8Array | BigInt64Array>(array: T, index: number, count: number): T {
  const length = array.length / count;
  return array.slice(index * length, (index + 1) * length) as T;
}

export function optionsOf(changes: Partial<PretrainOptions> = {}): PretrainOptions {
  return { ...pretrainDefaults, dataPath: 'images', outputDir: 'run', ...changes };
}
