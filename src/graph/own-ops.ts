import type { Op } from './graph.js';

/**
 * The operators of our own domain, `mae`: each has a definition in ONNX's operators (`lowering/definitions.ts`)
 * and may have a kernel (`kernels`).
 */
export const ownOps = [
  'Attention',
  'AttentionGrad',
  'GeluGrad',
  'LayerNormalizationGrad',
  'SoftmaxGrad',
] as const satisfies readonly Op[];

export type OwnOp = (typeof ownOps)[number];

export function isOwnOp(op: Op): op is OwnOp {
  return (ownOps as readonly Op[]).includes(op);
}
