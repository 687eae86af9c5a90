import type { Manifest } from '../artifact/manifest.js';
import { averageNames } from '../model/optim/optimizer.js';
import type { Device } from '../runtime/device.js';
import { outOfMemory } from '../runtime/out-of-memory.js';
import { UserError } from '../util/errors.js';

export interface MemoryEstimate {
  /** Parameters, gradients and what the optimizer and a moving average keep. */
  readonly stateBytes: number;
  readonly activationBytes: number;
  /** What does not depend on the model. */
  readonly baseBytes: number;
  readonly totalBytes: number;
}

/** What of a run says how much memory it takes. */
export interface MemoryOptions {
  readonly batchSize: number;
  readonly gradCheckpointing: boolean;
}

/** Estimates what a run takes of the device's memory. */
export function estimateMemory(manifest: Manifest, { memoryOverhead }: Device): MemoryEstimate {
  const { arena, optimizer, emaDecay } = manifest;
  const kinds = 1 + averageNames(optimizer, emaDecay).length;
  const stateBytes = 4 * (arena.total + kinds * arena.trained);
  const { baseBytes, arenaShare } = memoryOverhead;
  const activationBytes = Math.ceil(arenaShare * manifest.activationBytes);
  return { stateBytes, activationBytes, baseBytes, totalBytes: stateBytes + activationBytes + baseBytes };
}

/** A UserError where the estimate says that a run cannot fit. */
export function checkMemory(
  manifest: Manifest,
  options: MemoryOptions,
  device: Device,
  memory = device.readMemory(),
): void {
  if (memory === undefined) return;
  const estimate = estimateMemory(manifest, device);
  const usable = memory.usableBytes;
  if (estimate.totalBytes <= usable) return;
  throw new UserError(
    `memory: expected at most ${formatGiB(usable)}, the memory of ${memory.owner}, but batch size ` +
      `${options.batchSize} needs about ${formatGiB(estimate.totalBytes)}; ${remedy(estimate, options, usable)}`,
  );
}

/** An error of a session or step as it is, or as a UserError with what would fit where it says that memory ran out. */
export function explainOutOfMemory(
  error: unknown,
  manifest: Manifest,
  options: MemoryOptions,
  device: Device,
): unknown {
  const found = outOfMemory(error);
  if (found === undefined || error instanceof UserError) return error;
  const memory = device.readMemory();
  const estimate = estimateMemory(manifest, device);
  const asked =
    found.requestedBytes === undefined ? '' : `, at last for ${formatGiB(found.requestedBytes)} at once`;
  const has = memory === undefined ? '' : ` of the ${formatGiB(memory.usableBytes)} of ${memory.owner}`;
  // the estimate was wrong, or others took some: aim at three quarters of what it says
  const usable = 0.75 * Math.min(estimate.totalBytes, memory?.usableBytes ?? Infinity);
  return new UserError(
    `memory: there was not enough for batch size ${options.batchSize}: the estimate is ` +
      `${formatGiB(estimate.totalBytes)}${has}${asked}; ${remedy(estimate, options, usable)}`,
  );
}

/** The largest batch of which the estimate says that it fits; activations grow with it, the rest does not. */
export function fittingBatchSize(estimate: MemoryEstimate, batchSize: number, usable: number): number {
  const left = usable - estimate.stateBytes - estimate.baseBytes;
  return Math.floor((batchSize * left) / estimate.activationBytes);
}

function remedy(
  estimate: MemoryEstimate,
  { batchSize, gradCheckpointing }: MemoryOptions,
  usable: number,
): string {
  const fits = Math.min(fittingBatchSize(estimate, batchSize, usable), batchSize - 1);
  const smaller =
    fits >= 1
      ? `--batch-size ${fits} would fit (--accum-iter keeps the effective batch, --auto-batch sets both)`
      : 'use a smaller --model or a device with more';
  return `${smaller}${gradCheckpointing ? '' : ', or try --grad-checkpointing'}`;
}

export function formatGiB(bytes: number): string {
  return bytes < 2 ** 20 * 10 ? `${(bytes / 2 ** 20).toFixed(2)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
