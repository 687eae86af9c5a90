import { join } from 'node:path';
import { checkpointFiles } from '../weights/checkpoint/checkpoint-files.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import { pointBestAt, runPaths } from '../weights/checkpoint/run-directory.js';
import { validatedMetric } from './log-file.js';
import type { BestCheckpoint } from './observer.js';

/** Which checkpoint of a run is the best by a metric of validation; of equal ones the first. */
export class KeptBest {
  readonly metric: string;
  readonly #outputDir: string;
  #checkpoint: BestCheckpoint | undefined;

  constructor(outputDir: string, metric: string) {
    this.#outputDir = outputDir;
    this.metric = metric;
  }

  get checkpoint(): BestCheckpoint | undefined {
    return this.#checkpoint;
  }

  isBetter(value: number): boolean {
    return value > (this.#checkpoint?.value ?? Number.NEGATIVE_INFINITY);
  }

  async keep(path: string, value: number): Promise<void> {
    await pointBestAt(this.#outputDir, path);
    this.#checkpoint = { metric: this.metric, value, path };
  }
}

/**
 * The best of a run so far, by what its log has of the checkpoints that are there: the best of them was never removed. A
 * process that was killed may have left `best` at another one.
 */
export async function keptBest(outputDir: string, metric: string, step: number): Promise<KeptBest> {
  const { log, checkpoints } = runPaths(outputDir);
  const best = new KeptBest(outputDir, metric);
  for (const validated of await validatedMetric(log, metric, step)) {
    const folder = join(checkpoints, `step-${validated.step}`);
    const isThere = await isFile(join(folder, checkpointFiles.model));
    if (isThere && best.isBetter(validated.value)) await best.keep(folder, validated.value);
  }
  return best;
}
