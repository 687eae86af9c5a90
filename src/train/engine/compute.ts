import type { GraphPrecision, KernelPrecision } from '../../compiler/lowering/precision.js';
import type { Device } from '../../runtime/device.js';
import { type Precision, productPrecisions } from '../../runtime/device-precisions.js';
import { findKernels, type Kernels } from '../../runtime/kernels.js';
import { UserError } from '../../util/errors.js';

/** What a step is computed by. */
export interface Compute {
  /** The custom operators, where they are used. */
  readonly kernels?: Kernels | undefined;
  /** Precision of the kernels' products; without kernels the graph's counts. */
  readonly kernelPrecision?: KernelPrecision | undefined;
  /** Precision of the training graph in ONNX's own operators; float32 where not given. */
  readonly graphPrecision?: GraphPrecision | undefined;
  /** Whether CUDA may round the factors of float32 products to TensorFloat-32: its provider's `use_tf32`. */
  readonly tf32: boolean;
  /** For people. */
  readonly description: string;
}

/** How a device computes in the precision that the options ask for; a UserError where it cannot. */
export function chooseCompute(
  { precision, kernels }: { precision: Precision; kernels: boolean },
  device: Device,
): Compute {
  return decideCompute(device, precision, kernels ? findKernels() : { reason: '--no-kernels' });
}

/** @param found the custom operators, or why there are none: read where the device could run them */
export function decideCompute(
  device: Pick<Device, 'customOperators' | 'precisions'>,
  wanted: Precision,
  found: Kernels | { readonly reason: string },
): Compute {
  const { customOperators, precisions } = device;
  if (
    customOperators &&
    !('reason' in found) &&
    (wanted === 'auto' || wanted === 'fp32' || wanted === 'bf16')
  ) {
    return byKernels(wanted, found);
  }
  const reason = customOperators && 'reason' in found ? found.reason : undefined;
  const taken = wanted === 'auto' ? precisions.auto : wanted;
  const lack = precisions.lacks[taken];
  if (lack !== undefined) {
    const why = taken === 'bf16' && reason !== undefined ? ` (${reason})` : '';
    throw new UserError(`--precision ${wanted}: ${lack}${why}; use --precision ${remedy(device, found)}`);
  }
  const note = precisions.forChecks?.[taken];
  const notes = `${note === undefined ? '' : ` (${note})`}${reasonOf(wanted)}`;
  switch (taken) {
    case 'tf32':
      return { tf32: true, description: 'float32, factors of products rounded to TensorFloat-32' };
    case 'fp16':
    case 'bf16': {
      const products = taken === 'bf16' ? 'bfloat16 products' : 'float16 products, dynamic loss scale';
      return { graphPrecision: taken, tf32: false, description: `${products}, the rest float32${notes}` };
    }
    case 'fp32': {
      const operators = reason === undefined ? '' : `, ONNX Runtime's operators (no kernels: ${reason})`;
      return { tf32: false, description: `float32${operators}${notes}` };
    }
  }
}

/** Takes bfloat16 where asked for, or where `auto` finds a processor that is fast at it. */
function byKernels(wanted: 'auto' | 'fp32' | 'bf16', kernels: Kernels): Compute {
  const kernelPrecision = wanted === 'auto' ? (kernels.hasFastBfloat16 ? 'bf16' : 'fp32') : wanted;
  const products = kernelPrecision === 'bf16' ? 'bfloat16 products, float32 sums' : 'float32';
  const description = `${products}, kernels for ${kernels.isa}${reasonOf(wanted)}`;
  return { kernels, kernelPrecision, tf32: false, description };
}

function reasonOf(wanted: Precision): string {
  return wanted === 'auto' ? ', --precision auto' : '';
}

/** What the device has, for training. */
function remedy(
  { customOperators, precisions: { lacks, forChecks } }: Pick<Device, 'customOperators' | 'precisions'>,
  found: Kernels | { readonly reason: string },
): string {
  const byKernels = customOperators && !('reason' in found);
  const has = productPrecisions.filter(
    (each) =>
      (lacks[each] === undefined && forChecks?.[each] === undefined) || (each === 'bf16' && byKernels),
  );
  return has.join(' or ');
}
