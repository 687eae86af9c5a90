/** x → y of x's shape, number by number. */
export type UnaryOp = 'Neg' | 'Exp' | 'Log' | 'Sqrt' | 'Reciprocal' | 'Erf' | 'Gelu';
/** Two tensors that broadcast. */
export type BinaryOp = 'Add' | 'Sub' | 'Mul' | 'Div';
export type ElementwiseOp = UnaryOp | BinaryOp | 'HardSigmoid' | 'Less' | 'Cast';

export type LinalgOp = 'MatMul' | 'Gemm';

export type MovementOp =
  | 'Reshape'
  | 'Transpose'
  | 'Slice'
  | 'Concat'
  | 'Split'
  | 'Gather'
  | 'ScatterND'
  | 'Expand'
  | 'Pad'
  | 'Where';

/** `Attention` is ours, with a definition in `lowering/definitions.ts`; the others are ONNX's. */
export type NormalizationOp = 'Softmax' | 'LayerNormalization' | 'Attention';

export type ReductionOp = 'ReduceSum' | 'ReduceMean' | 'ReduceSumSquare' | 'ReduceLogSumExp';

/**
 * Operators that do in one pass what takes several in ONNX's own. `lowering/fuse.ts` makes most of them, for devices
 * that have kernels; `lowering/definitions.ts` says what they compute.
 */
export type FusedOp = 'FusedGemm' | 'FusedLayerNormalization' | 'ColumnSums' | 'SumOfSquares' | 'AdamW';

/**
 * Operators of the backward pass, made for one-pass kernels (see `own-ops.ts`). `lowering` replaces them by their
 * definitions where the device has no kernel. They are not differentiable themselves.
 */
export type GradientOp = 'GeluGrad' | 'SoftmaxGrad' | 'LayerNormalizationGrad' | 'AttentionGrad';

/**
 * Operators of the domain `com.microsoft` that ONNX Runtime's training builds have kernels for
 * (ContribOperators of their documentation). Only artefacts for these builds use them.
 */
export type MicrosoftOp = 'AdamWOptimizer' | 'InPlaceAccumulatorV2';

/**
 * Operators that graphs for inference alone have: of models that take pictures of any size (their sizes are numbers of the
 * graph), and of models in 8 bits.
 */
export type InferenceOp =
  | 'Conv'
  | 'Shape'
  | 'Range'
  | 'Resize'
  | 'Sin'
  | 'Cos'
  | 'DynamicQuantizeLinear'
  | 'MatMulInteger';

/** Versions of ONNX's operators that a graph can be written in. */
export type Opset = 17 | 20;

/**
 * Every operator of a graph. `FusedOp`, `GradientOp` and `Attention` are ours (domain `mae`), `MicrosoftOp` those of ONNX
 * Runtime (domain `com.microsoft`), the rest are ONNX's.
 */
export type Op =
  | ElementwiseOp
  | LinalgOp
  | MovementOp
  | NormalizationOp
  | ReductionOp
  | FusedOp
  | GradientOp
  | InferenceOp
  | MicrosoftOp;
