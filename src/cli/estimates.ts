import { totalmem } from 'node:os';
import type { Manifest } from '../artifact/manifest.js';
import { UserError } from '../util/errors.js';
import { sizeOf } from '../util/shape.js';

/** Node, ONNX Runtime's code and its threads, the sessions' graphs and the batches in flight. */
const baseBytes = 300 * 2 ** 20;

export interface MemoryEstimate {
  /** Parameters, gradients and the two moments. */
  readonly stateBytes: number;
  readonly activationBytes: number;
  readonly totalBytes: number;
}

/** Numbers in the model, fixed positions counted. */
export function parameterCount({ parameters }: Manifest): number {
  return parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

export function estimateMemory({ arena, activationBytes }: Manifest): MemoryEstimate {
  const stateBytes = 4 * (arena.total + 3 * arena.trained);
  return { stateBytes, activationBytes, totalBytes: stateBytes + activationBytes + baseBytes };
}

/** Memory that this process may use: the machine's, or its container's limit. */
export function availableMemory(): number {
  const limit = process.constrainedMemory() ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

/** A UserError where the estimate says that a run cannot fit. */
export function checkMemory(
  estimate: MemoryEstimate,
  { batchSize, gradCheckpointing }: { batchSize: number; gradCheckpointing: boolean },
): void {
  const available = availableMemory();
  if (estimate.totalBytes <= available) return;
  const fits = Math.floor(
    (batchSize * (available - estimate.stateBytes - baseBytes)) / estimate.activationBytes,
  );
  const remedy =
    fits >= 1
      ? `--batch-size ${fits} would fit (--accum-iter keeps the effective batch)`
      : 'use a smaller --model or a machine with more';
  const less = gradCheckpointing ? '' : ', or try --grad-checkpointing';
  throw new UserError(
    `memory: expected at most ${formatGiB(available)}, the memory of this machine, but batch size ${batchSize} ` +
      `needs about ${formatGiB(estimate.totalBytes)}; ${remedy}${less}`,
  );
}

export function formatGiB(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
