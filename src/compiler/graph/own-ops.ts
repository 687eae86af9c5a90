import type { FusedOp, GradientOp, Op } from './op.js';

/** The operators of our own domain, `mae`. */
export type OwnOp = FusedOp | GradientOp | 'Attention';

/** What is to be known of one of them. */
export interface OwnOperator {
  /** How many outputs have to be there; the others are left out where nothing reads them. */
  readonly outputs: number;
  /** Whether `src/kernels` has a kernel for it. */
  readonly kernel: boolean;
  /** Inputs that the kernel also takes as bfloat16, by position. */
  readonly takes: readonly number[];
  /** Outputs that the kernel also gives as bfloat16, by position. */
  readonly gives: readonly number[];
  /** Names of the attributes that are floats; all others are integers. */
  readonly floats: readonly string[];
}

/**
 * Our operators, a row each; `lowering/definitions.ts` defines them in ONNX's operators. The kernels' side of the same
 * table is `rows` in `src/kernels/custom_ops.cc`.
 */
export const ownOps: { readonly [K in OwnOp]: OwnOperator } = {
  AdamW: { outputs: 3, kernel: true, takes: [], gives: [], floats: ['beta1', 'beta2', 'epsilon'] },
  Attention: { outputs: 2, kernel: true, takes: [0], gives: [0], floats: ['scale'] },
  AttentionGrad: { outputs: 1, kernel: true, takes: [0, 1, 2], gives: [0], floats: ['scale'] },
  ColumnSums: { outputs: 1, kernel: true, takes: [0], gives: [], floats: [] },
  FusedGemm: { outputs: 0, kernel: true, takes: [0, 1], gives: [0, 1], floats: ['alpha'] },
  FusedLayerNormalization: { outputs: 3, kernel: true, takes: [], gives: [0], floats: ['epsilon'] },
  GeluGrad: { outputs: 1, kernel: true, takes: [0, 1], gives: [0, 1], floats: [] },
  LayerNormalizationGrad: { outputs: 3, kernel: true, takes: [0], gives: [3], floats: ['epsilon'] },
  SoftmaxGrad: { outputs: 1, kernel: false, takes: [], gives: [], floats: [] },
  SumOfSquares: { outputs: 1, kernel: true, takes: [], gives: [], floats: [] },
};

export function isOwnOp(op: Op): op is OwnOp {
  return Object.hasOwn(ownOps, op);
}

/** Those that `src/kernels` has. */
export const kernelOps: ReadonlySet<OwnOp> = new Set(
  (Object.keys(ownOps) as OwnOp[]).filter((op) => ownOps[op].kernel),
);
