import type { KernelPrecision } from '../artifact/manifest.js';
import { cpuDevice, type Device } from '../runtime/device.js';
import { findKernels, type Kernels } from '../runtime/kernels.js';
import { UserError } from '../util/errors.js';

export const precisions = ['auto', 'fp32', 'bf16'] as const;
export type Precision = (typeof precisions)[number];

/** What a step is computed by. */
export interface Compute {
  /** The custom operators, where they are used. */
  readonly kernels?: Kernels | undefined;
  /** Of the kernels' products; without kernels everything is float32. */
  readonly kernelPrecision?: KernelPrecision | undefined;
  /** For people. */
  readonly description: string;
}

/**
 * The kernels where the device runs any, there are any and they are wanted, in bfloat16 where asked for, or where `auto` finds a
 * processor that is fast at it; else ONNX Runtime's own operators in float32.
 */
export function chooseCompute(
  { precision, kernels: wanted }: { precision: Precision; kernels: boolean },
  device: Pick<Device, 'name' | 'hasCustomOperators'> = cpuDevice,
): Compute {
  if (!device.hasCustomOperators) {
    if (precision !== 'bf16') return { description: `float32, ONNX Runtime's operators` };
    throw new UserError(
      `--precision bf16: expected --device cpu, whose kernels alone have bfloat16 products, got --device ${device.name}; ` +
        'use --precision auto or fp32',
    );
  }
  const found = wanted ? findKernels() : { reason: '--no-kernels' };
  if ('reason' in found) {
    if (precision === 'bf16') {
      throw new UserError(
        `--precision bf16: expected the kernels, which alone have bfloat16 products, got none (${found.reason}); ` +
          'use --precision auto or fp32',
      );
    }
    return { description: `float32, ONNX Runtime's operators (no kernels: ${found.reason})` };
  }
  const kernelPrecision = precision === 'auto' ? (found.hasFastBfloat16 ? 'bf16' : 'fp32') : precision;
  const products = kernelPrecision === 'bf16' ? 'bfloat16 products, float32 sums' : 'float32';
  const why = precision === 'auto' ? ', --precision auto' : '';
  return { kernels: found, kernelPrecision, description: `${products}, kernels for ${found.isa}${why}` };
}
