import type { Dtype } from '../checkpoint/dtypes.js';

export interface SourceTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

/** An open file of tensors, whatever its format. */
export interface WeightSource {
  /** Names the file in errors. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, SourceTensor>;
  /** What a safetensors header says beside the tensors, or the options that a training checkpoint in .pth keeps. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Reads one tensor; UserError where its type has no place in float32. */
  readFloat32(name: string): Promise<Float32Array>;
  close(): Promise<void>;
}
