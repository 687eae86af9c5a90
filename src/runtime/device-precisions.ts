export const productPrecisions = ['fp32', 'tf32', 'fp16', 'bf16'] as const;
export type ProductPrecision = (typeof productPrecisions)[number];

/** What `--precision` takes. */
export const precisions = ['auto', ...productPrecisions] as const;
export type Precision = (typeof precisions)[number];

/** The precisions in which a device computes the products of graphs in ONNX's own operators. */
export interface DevicePrecisions {
  /** What `--precision auto` takes. */
  readonly auto: 'fp32' | 'fp16' | 'bf16';
  /** Those that it does not have: what it would take and what was found, for people. */
  readonly lacks: Readonly<Partial<Record<ProductPrecision, string>>>;
  /** Those that it has and nobody should train in: why. */
  readonly forChecks?: Readonly<Partial<Record<ProductPrecision, string>>>;
}

/** What a device without TensorFloat-32 lacks. */
export function noTf32(device: string): string {
  return `expected a CUDA device, whose tensor cores alone have TensorFloat-32, got ${device}`;
}
