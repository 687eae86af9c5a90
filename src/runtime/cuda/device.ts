import type { Device } from '../device.js';
import { cardOverhead, type DeviceMemory } from '../device-memory.js';
import type { DevicePrecisions } from '../device-precisions.js';
import { type CudaCard, queryCudaDriver } from './driver.js';
import { cudaProvider } from './provider.js';

export interface CudaDeviceOptions {
  /** Whether float32 products may round their factors to TensorFloat-32. */
  readonly tf32?: boolean;
  /** What its driver says of the card. */
  readonly card?: Pick<CudaCard, 'name' | 'computeCapability'> | undefined;
}

/** A card, as CUDA counts them. */
export function cudaDevice(index: number, { tf32 = false, card }: CudaDeviceOptions = {}): Device {
  return {
    name: `cuda:${index}`,
    description: card === undefined ? `CUDA, card ${index}` : `CUDA, cuda:${index}: ${card.name}`,
    memory: { name: 'Cuda', id: index },
    hasArena: true,
    // its Gemm copies C to the output before it adds the product
    lacks: { bytes: false, int64: false, inPlace: true, float32Sums: false },
    uploadsDuringRun: true,
    // 64 MiB a tensor: few launches, and temporaries that fit beside the activations
    optimizerElements: 2 ** 24,
    customOperators: false,
    precisions: cudaPrecisions(card?.computeCapability),
    memoryOverhead: cardOverhead,
    readMemory: () => cardMemory(index),
    ...cudaProvider({ deviceId: index, tf32 }),
  };
}

/** Ampere: the first cards whose tensor cores multiply bfloat16 and TensorFloat-32. */
const ampere = 8;

/**
 * `auto` takes bfloat16: as fast as float16 on every card that has it, and with float32's range no gradient overflows
 * or vanishes, so that no step is lost to a loss scale. Cards before it are fast in float16 alone, in which the paper's
 * models were trained.
 *
 * @param computeCapability the generation of the card, such as 9.0; a card of today where its driver does not tell
 */
function cudaPrecisions(computeCapability = ampere): DevicePrecisions {
  if (computeCapability >= ampere) return { auto: 'bf16', lacks: {} };
  const older =
    `expected a GPU of compute capability ${ampere.toFixed(1)} (Ampere) or later, ` +
    `got ${computeCapability.toFixed(1)}`;
  return { auto: 'fp16', lacks: { tf32: older, bf16: older } };
}

/** A card's memory, of which a run may use what others left; undefined where the driver does not answer. */
function cardMemory(ordinal: number): DeviceMemory | undefined {
  const driver = queryCudaDriver();
  const card = 'cards' in driver ? driver.cards[ordinal] : undefined;
  if (card === undefined) return undefined;
  const { name, memoryBytes, freeBytes } = card;
  const owner = `cuda:${ordinal}, ${name}`;
  return { owner, totalBytes: memoryBytes, freeBytes, usableBytes: freeBytes };
}
