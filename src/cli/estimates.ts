import type { Manifest } from '../artifact/manifest.js';
import { type DeviceMemory, deviceMemory } from '../runtime/device-memory.js';
import { outOfMemory } from '../runtime/out-of-memory.js';
import { UserError } from '../util/errors.js';
import { sizeOf } from '../util/shape.js';

/** Node, ONNX Runtime's code and its threads, the sessions' graphs and the batches in flight. */
const hostBytes = 300 * 2 ** 20;
/** Of a card, beside the arena: the provider's kernels and the workspaces of cuBLAS and cuDNN; a guess. */
const cardBytes = 2 ** 30;
/**
 * What the arena of a card takes for a byte of activations: it loses some between buffers. 1.23 at most for ViT-B and
 * ViT-L at batch 64 and 256, of ONNX Runtime 1.30's own arena.
 */
const arenaShare = 1.25;

export interface MemoryEstimate {
  /** Parameters, gradients and the two moments. */
  readonly stateBytes: number;
  readonly activationBytes: number;
  /** What does not depend on the model. */
  readonly baseBytes: number;
  readonly totalBytes: number;
}

/** What of a run says how much memory it takes. */
export interface MemoryOptions {
  readonly device: string;
  readonly batchSize: number;
  readonly gradCheckpointing: boolean;
}

/** Numbers in the model, fixed positions counted. */
export function parameterCount({ parameters }: Manifest): number {
  return parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

/** Of the device's memory. */
export function estimateMemory(manifest: Manifest, device: string): MemoryEstimate {
  const { arena } = manifest;
  const stateBytes = 4 * (arena.total + 3 * arena.trained);
  const isHost = device === 'cpu';
  const activationBytes = Math.ceil((isHost ? 1 : arenaShare) * manifest.activationBytes);
  const baseBytes = isHost ? hostBytes : cardBytes;
  return { stateBytes, activationBytes, baseBytes, totalBytes: stateBytes + activationBytes + baseBytes };
}

/** What a run may use: all that the machine or its container has, for Node frees as it goes; what a card has left. */
export function usableBytes(memory: DeviceMemory, device: string): number {
  return device === 'cpu' ? memory.totalBytes : memory.freeBytes;
}

/** A UserError where the estimate says that a run cannot fit. */
export function checkMemory(
  manifest: Manifest,
  options: MemoryOptions,
  memory = deviceMemory(options.device),
): void {
  if (memory === undefined) return;
  const estimate = estimateMemory(manifest, options.device);
  const usable = usableBytes(memory, options.device);
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
  memory = deviceMemory(options.device),
): unknown {
  const found = outOfMemory(error);
  if (found === undefined || error instanceof UserError) return error;
  const estimate = estimateMemory(manifest, options.device);
  const asked =
    found.requestedBytes === undefined ? '' : `, at last for ${formatGiB(found.requestedBytes)} at once`;
  const has =
    memory === undefined
      ? ''
      : ` of the ${formatGiB(usableBytes(memory, options.device))} of ${memory.owner}`;
  // the estimate was wrong, or others took some: aim at three quarters of what it says
  const usable =
    0.75 * Math.min(estimate.totalBytes, memory ? usableBytes(memory, options.device) : Infinity);
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
  { batchSize, gradCheckpointing, device }: MemoryOptions,
  usable: number,
): string {
  const fits = Math.min(fittingBatchSize(estimate, batchSize, usable), batchSize - 1);
  const smaller =
    fits >= 1
      ? `--batch-size ${fits} would fit (--accum-iter keeps the effective batch, --auto-batch sets both)`
      : `use a smaller --model or a ${device === 'cpu' ? 'machine' : 'device'} with more`;
  return `${smaller}${gradCheckpointing ? '' : ', or try --grad-checkpointing'}`;
}

export function formatGiB(bytes: number): string {
  return bytes < 2 ** 20 * 10 ? `${(bytes / 2 ** 20).toFixed(2)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
