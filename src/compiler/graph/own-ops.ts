import type { Op } from './op.js';

/**
 * The operators of our own domain, `mae`: each has a definition in ONNX's operators (`lowering/definitions.ts`)
 * and may have a kernel (`kernels`).
 */
export const ownOps = [
  'AdamW',
  'Attention',
  'AttentionGrad',
  'ColumnSums',
  'FusedGemm',
  'FusedLayerNormalization',
  'GeluGrad',
  'LayerNormalizationGrad',
  'SoftmaxGrad',
  'SumOfSquares',
] as const satisfies readonly Op[];

export type OwnOp = (typeof ownOps)[number];

/** Those that `src/kernels` has. */
export const kernelOps: ReadonlySet<OwnOp> = new Set(ownOps.filter((op) => op !== 'SoftmaxGrad'));

/** How many outputs of an operator have to be there; the others are left out where nothing reads them. */
export const neededOutputs: { readonly [K in OwnOp]: number } = {
  AdamW: 3,
  Attention: 2,
  AttentionGrad: 1,
  ColumnSums: 1,
  FusedGemm: 0,
  FusedLayerNormalization: 3,
  GeluGrad: 1,
  LayerNormalizationGrad: 3,
  SoftmaxGrad: 1,
  SumOfSquares: 1,
};

export function isOwnOp(op: Op): op is OwnOp {
  return (ownOps as readonly Op[]).includes(op);
}
