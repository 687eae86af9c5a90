import { freemem, totalmem } from 'node:os';

/** Memory of a device. */
export interface DeviceMemory {
  /** For people: `this machine`, or the card's name. */
  readonly owner: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
  /** What a run may use. */
  readonly usableBytes: number;
}

/** What a run takes of a device's memory beside parameters, gradients, moments and activations. */
export interface MemoryOverhead {
  /** What does not depend on the model. */
  readonly baseBytes: number;
  /** What the device's arena takes for a byte of activations: it loses some between buffers. */
  readonly arenaShare: number;
}

export const hostOverhead: MemoryOverhead = {
  // Node, ONNX Runtime's code and its threads, the sessions' graphs and the batches in flight
  baseBytes: 300 * 2 ** 20,
  arenaShare: 1,
};

export const cardOverhead: MemoryOverhead = {
  // the optimizer's temporaries, the provider's kernels and the workspaces of cuBLAS and cuDNN; in part a guess
  baseBytes: 1.5 * 2 ** 30,
  // beside 1 GiB of these, 1.22 to 1.38 in a step of ViT-B and ViT-L at batch 64 and 256 in float32 and bfloat16, of
  // ONNX Runtime 1.30's own arena
  arenaShare: 1.4,
};

/** The machine's memory, or its container's limit; a run may use all of it, for Node frees as it goes. */
export function hostMemory(): DeviceMemory {
  // Node 20 returns 0, and later ones a number beyond all memory, where there is no limit
  const limit = process.constrainedMemory() ?? 0;
  const totalBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  const freeBytes = Math.min(totalBytes, freemem());
  return { owner: 'this machine', totalBytes, freeBytes, usableBytes: totalBytes };
}
