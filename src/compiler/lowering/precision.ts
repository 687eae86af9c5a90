/** Precision of the kernels' products; sums are float32 in both. */
export type KernelPrecision = 'fp32' | 'bf16';

/** Precision of a training graph's products where it is not float32, as `mixed-precision.ts` makes it. */
export type GraphPrecision = 'fp16' | 'bf16';
