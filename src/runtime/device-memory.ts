import { freemem, totalmem } from 'node:os';
import { parseCudaDevice } from './cuda.js';
import { queryCudaDriver } from './cuda-driver.js';

/** Memory that a run may use on a device. */
export interface DeviceMemory {
  /** For people: `this machine`, or the card's name. */
  readonly owner: string;
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/**
 * The memory of `cpu` or `cuda[:N]`: the machine's, or its container's limit; the card's. undefined where nobody
 * tells: WebGPU does not, nor a driver that does not answer.
 */
export function deviceMemory(device: string): DeviceMemory | undefined {
  if (device === 'cpu') {
    // Node 20 returns 0, and later ones a number beyond all memory, where there is no limit
    const limit = process.constrainedMemory() ?? 0;
    const totalBytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
    return { owner: 'this machine', totalBytes, freeBytes: Math.min(totalBytes, freemem()) };
  }
  const ordinal = parseCudaDevice(device);
  if (ordinal === undefined) return undefined;
  const driver = queryCudaDriver();
  const card = 'cards' in driver ? driver.cards[ordinal] : undefined;
  return (
    card && {
      owner: `cuda:${ordinal}, ${card.name}`,
      totalBytes: card.memoryBytes,
      freeBytes: card.freeBytes,
    }
  );
}
