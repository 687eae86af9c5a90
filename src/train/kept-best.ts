import { join } from 'node:path';
import { checkpointFiles } from '../weights/checkpoint/checkpoint-files.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import { pointBestAt, runPaths } from '../weights/checkpoint/run-directory.js';
import { loggedValues } from './log-file.js';
import type { BestCheckpoint, BestMeasure, Metrics } from './observer.js';

/** By which checkpoints are kept: the accuracy of a classifier, that of a probe, the loss of validation. */
export const bestMeasures = {
  top1: { name: 'best', type: 'val', field: 'val_top1', label: 'top-1', isLoss: false },
  probe: {
    name: 'best-probe',
    type: 'probe',
    field: 'logreg',
    label: 'logistic regression',
    isLoss: false,
  },
  val: { name: 'best-val', type: 'val', field: 'loss', label: 'validation loss', isLoss: true },
} as const satisfies Readonly<Record<string, BestMeasure>>;

/** Which checkpoint of a run is the best by a measure; of equal ones the first. */
export class KeptBest {
  readonly measure: BestMeasure;
  readonly #outputDir: string;
  #checkpoint: BestCheckpoint | undefined;

  constructor(outputDir: string, measure: BestMeasure) {
    this.#outputDir = outputDir;
    this.measure = measure;
  }

  get checkpoint(): BestCheckpoint | undefined {
    return this.#checkpoint;
  }

  /** What a line of the log of that type says of it, if it does. */
  valueOf(type: BestMeasure['type'], metrics: Metrics): number | undefined {
    return type === this.measure.type ? metrics[this.measure.field] : undefined;
  }

  isBetter(value: number): boolean {
    const best = this.#checkpoint?.value;
    if (best === undefined) return true;
    return this.measure.isLoss ? value < best : value > best;
  }

  async keep(path: string, value: number): Promise<void> {
    await pointBestAt(this.#outputDir, this.measure.name, path);
    this.#checkpoint = { measure: this.measure, value, path };
  }
}

/**
 * The best of a run so far, by what its log has of the checkpoints that are there: the best of them was never removed. A
 * process that was killed may have left `best` at another one.
 */
export async function keptBest(outputDir: string, measure: BestMeasure, step: number): Promise<KeptBest> {
  const { log, checkpoints } = runPaths(outputDir);
  const best = new KeptBest(outputDir, measure);
  for (const logged of await loggedValues(log, measure, step)) {
    const folder = join(checkpoints, `step-${logged.step}`);
    const isThere = await isFile(join(folder, checkpointFiles.model));
    if (isThere && best.isBetter(logged.value)) await best.keep(folder, logged.value);
  }
  return best;
}
