export const productPrecisions = ['fp32', 'tf32', 'fp16', 'bf16'] as const;
export type ProductPrecision = (typeof productPrecisions)[number];

/** In what a device computes the products of graphs in ONNX's own operators. */
export interface DevicePrecisions {
  /** What `--precision auto` takes. */
  readonly auto: 'fp32' | 'fp16' | 'bf16';
  /** Those that it does not have: what it would take and what was found, for people. */
  readonly lacks: Readonly<Partial<Record<ProductPrecision, string>>>;
  /** Those that it has and nobody should train in: why. */
  readonly forChecks?: Readonly<Partial<Record<ProductPrecision, string>>>;
}

export const cpuPrecisions: DevicePrecisions = {
  auto: 'fp32',
  lacks: {
    tf32: noTf32('the CPU'),
    bf16: 'expected the kernels, which alone have bfloat16 products on the CPU, got none',
  },
  forChecks: { fp16: "ONNX Runtime's CPU operators widen to float32 around most of it: slow, for checks" },
};

/** Ampere: the first cards whose tensor cores multiply bfloat16 and TensorFloat-32. */
const ampere = 8;

/**
 * `auto` takes bfloat16: as fast as float16 on every card that has it, and with float32's range no gradient overflows
 * or vanishes, so that no step is lost to a loss scale. Cards before it are fast in float16 alone, in which the paper's
 * models were trained.
 *
 * @param computeCapability the generation of the card, such as 9.0; a card of today where its driver does not tell
 */
export function cudaPrecisions(computeCapability = ampere): DevicePrecisions {
  if (computeCapability >= ampere) return { auto: 'bf16', lacks: {} };
  const older =
    `expected a GPU of compute capability ${ampere.toFixed(1)} (Ampere) or later, ` +
    `got ${computeCapability.toFixed(1)}`;
  return { auto: 'fp16', lacks: { tf32: older, bf16: older } };
}

/** `auto` takes float32: WGSL may sum products of float16 in float16, and not every adapter has it. */
export function webgpuPrecisions(shaderF16: boolean): DevicePrecisions {
  const lacks = {
    tf32: noTf32('WebGPU'),
    bf16: 'expected a device with bfloat16, got WebGPU, whose shaders do not have it',
  };
  if (shaderF16) return { auto: 'fp32', lacks };
  return {
    auto: 'fp32',
    lacks: { ...lacks, fp16: 'expected a WebGPU adapter with shader-f16, got one without' },
  };
}

function noTf32(device: string): string {
  return `expected a CUDA device, whose tensor cores alone have TensorFloat-32, got ${device}`;
}
