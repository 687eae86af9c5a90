import type { GraphPrecision, KernelPrecision } from '../artifact/manifest.js';
import { findKernels, type Kernels } from '../runtime/kernels.js';
import { UserError } from '../util/errors.js';

export const precisions = ['auto', 'fp32', 'tf32', 'fp16', 'bf16'] as const;
export type Precision = (typeof precisions)[number];

/** What a step is computed by. */
export interface Compute {
  /** The custom operators, where they are used. */
  readonly kernels?: Kernels | undefined;
  /** Of the kernels' products; without kernels the precision is the graph's. */
  readonly kernelPrecision?: KernelPrecision | undefined;
  /** Of the training graph in ONNX's own operators; float32 where not given. */
  readonly graphPrecision?: GraphPrecision | undefined;
  /** Whether CUDA may round the factors of float32 products to TensorFloat-32: its provider's `use_tf32`. */
  readonly tf32: boolean;
  /** For people. */
  readonly description: string;
}

/** What the machine has that a precision may need. */
export interface Available {
  /** CPU: the custom operators, or why there are none. */
  readonly kernels: Kernels | { readonly reason: string };
  /** WebGPU: whether the adapter has the feature shader-f16. */
  readonly shaderF16?: boolean | undefined;
  /** CUDA: compute capability, as 8.0; a card of today where it is not known. */
  readonly computeCapability?: number | undefined;
}

/** Ampere: the first cards whose tensor cores multiply bfloat16 and TensorFloat-32. */
const ampere = 8;

/** What the options ask for on this machine. `available`: what is known of a device beside the CPU. */
export function chooseCompute(
  { device = 'cpu', precision, kernels }: { device?: string; precision: Precision; kernels: boolean },
  available: Omit<Available, 'kernels'> = {},
): Compute {
  const found = kernels ? findKernels() : { reason: '--no-kernels' };
  return decideCompute(device, precision, { ...available, kernels: found });
}

/**
 * How a device computes in the precision wanted; a UserError where it cannot.
 *
 * @param device as `--device` names it once it is known: cpu, cuda, cuda:1, webgpu
 */
export function decideCompute(device: string, wanted: Precision, available: Available): Compute {
  const [kind] = device.split(':');
  if (kind === 'cuda') return onCuda(wanted, available.computeCapability);
  if (kind === 'webgpu') return onWebGpu(wanted, available.shaderF16 ?? false);
  return onCpu(wanted, available.kernels);
}

/**
 * The kernels where there are any and they are wanted, in bfloat16 where asked for, or where `auto` finds a
 * processor that is fast at it; else ONNX Runtime's own operators in float32.
 */
function onCpu(precision: Precision, found: Available['kernels']): Compute {
  if (precision === 'tf32') throw noTf32('the CPU', 'auto, fp32 or bf16');
  if (precision === 'fp16') {
    const why =
      "float16 graph, ONNX Runtime's operators (it widens to float32 around most: slow, for checks)";
    return { graphPrecision: 'fp16', tf32: false, description: why };
  }
  if ('reason' in found) {
    if (precision === 'bf16') {
      throw new UserError(
        `--precision bf16: expected the kernels, which alone have bfloat16 products on the CPU, got none ` +
          `(${found.reason}); use --precision auto or fp32`,
      );
    }
    const description = `float32, ONNX Runtime's operators (no kernels: ${found.reason})`;
    return { tf32: false, description };
  }
  const kernelPrecision = precision === 'auto' ? (found.hasFastBfloat16 ? 'bf16' : 'fp32') : precision;
  const products = kernelPrecision === 'bf16' ? 'bfloat16 products, float32 sums' : 'float32';
  const description = `${products}, kernels for ${found.isa}${reasonOf(precision)}`;
  return { kernels: found, kernelPrecision, tf32: false, description };
}

/**
 * `auto` takes bfloat16: as fast as float16 on every card that has it, and with float32's range no gradient overflows
 * or vanishes, so that no step is lost to a loss scale. Cards before it are fast in float16 alone, in which the paper's
 * models were trained.
 */
function onCuda(precision: Precision, computeCapability = ampere): Compute {
  const isAmpere = computeCapability >= ampere;
  const needsAmpere = precision === 'tf32' || precision === 'bf16';
  if (needsAmpere && !isAmpere) {
    throw new UserError(
      `--precision ${precision}: expected a GPU of compute capability ${ampere.toFixed(1)} (Ampere) or later, ` +
        `got ${computeCapability.toFixed(1)}; use --precision fp16 or fp32`,
    );
  }
  if (precision === 'fp32') return { tf32: false, description: 'float32' };
  if (precision === 'tf32') {
    return { tf32: true, description: 'float32, factors of products rounded to TensorFloat-32' };
  }
  return mixed(precision === 'auto' ? (isAmpere ? 'bf16' : 'fp16') : precision, precision);
}

/** `auto` takes float32: WGSL may sum products of float16 in float16, and not every adapter has it. */
function onWebGpu(precision: Precision, shaderF16: boolean): Compute {
  if (precision === 'tf32') throw noTf32('WebGPU', shaderF16 ? 'fp32 or fp16' : 'fp32');
  if (precision === 'bf16') {
    const remedy = shaderF16 ? 'fp32 or fp16' : 'fp32';
    throw new UserError(
      `--precision bf16: expected a device with bfloat16, which WebGPU's shaders do not have; use --precision ${remedy}`,
    );
  }
  if (precision === 'fp16' && !shaderF16) {
    throw new UserError(
      '--precision fp16: expected a WebGPU adapter with shader-f16, got one without; use --precision fp32',
    );
  }
  return precision === 'fp16'
    ? mixed('fp16', precision)
    : { tf32: false, description: `float32${reasonOf(precision)}` };
}

function mixed(graphPrecision: GraphPrecision, wanted: Precision): Compute {
  const products = graphPrecision === 'bf16' ? 'bfloat16 products' : 'float16 products, dynamic loss scale';
  return { graphPrecision, tf32: false, description: `${products}, the rest float32${reasonOf(wanted)}` };
}

function reasonOf(wanted: Precision): string {
  return wanted === 'auto' ? ', --precision auto' : '';
}

function noTf32(device: string, remedy: string): UserError {
  return new UserError(
    `--precision tf32: expected a CUDA device, whose tensor cores alone have TensorFloat-32, got ${device}; ` +
      `use --precision ${remedy}`,
  );
}
