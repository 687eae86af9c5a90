import type { GraphPrecision, KernelPrecision } from '../compiler/lowering/precision.js';
import type { ModelConfig } from '../model/config.js';
import type { OptimizerOptions } from '../model/optim/optimizer.js';
import type { ParameterSpec } from '../model/parameters.js';
import type { BatchInput, TaskOptions } from '../model/task.js';
import { type Shape, sizeOf } from '../util/shape.js';

/** What the graphs of a folder are and how their memory is laid out. All a trainer needs to know of them. */
export interface Manifest {
  readonly formatVersion: 2;
  readonly opset: number;
  /** The task's name and choices: of `mae` those of `MaeOptions`. */
  readonly task: string;
  readonly options: TaskOptions;
  /** What checkpoints say of the task beside the model, as text. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly model: ModelConfig;
  readonly batchSize: number;
  /** What each batch brings to the training and the evaluation graph. */
  readonly inputs: readonly BatchInput[];
  /** What it brings to the evaluation graph, where that is something else. */
  readonly evaluationInputs?: readonly BatchInput[];
  /** Those of the evaluation graph; float32. */
  readonly outputs: readonly { readonly name: string; readonly shape: Shape }[];
  /** Whether the training graph adds to `<parameter>_grad.accumulation.buffer` inputs. */
  readonly accumulate: boolean;
  /** Whether the training graph keeps only the input of each transformer block, where it does. */
  readonly gradCheckpointing?: boolean;
  /** Precision of the library of `src/kernels`, where training, norm and optimizer graphs need it. */
  readonly kernelPrecision?: KernelPrecision;
  /** Precision of the training graph in ONNX's own operators, where it is not float32; the other graphs are. */
  readonly graphPrecision?: GraphPrecision;
  readonly parameters: readonly ManifestParameter[];
  readonly arena: ArenaLayout;
  /** Estimate of what a training step holds beside the arenas; see `memory.ts`. */
  readonly activationBytes: number;
  /** Names of gradients in the order in which the backward pass makes them. */
  readonly gradients: readonly string[];
  /** Parameters that the training graph gives anew as `<name>_next`, where there are some. */
  readonly buffers?: readonly string[];
  readonly optimizer: OptimizerOptions;
  /** d of the moving average of parameters, ema ← d·ema + (1 − d)·p, where it is kept. */
  readonly emaDecay?: number;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

export interface ManifestParameter extends ParameterSpec {
  /** Place in the parameter arena, and in the arenas of gradients and moments; in elements. */
  readonly offset: number;
}

/** Sizes in float32 elements: [0, decayed) decays, [decayed, trained) does not, [trained, total) is fixed. */
export interface ArenaLayout {
  readonly chunk: number;
  readonly decayed: number;
  readonly trained: number;
  readonly total: number;
}

export const manifestFile = 'manifest.json';
export const trainingModelFile = 'training_model.onnx';
export const evalModelFile = 'eval_model.onnx';
export const gradientNormModelFile = 'gradient_norm_model.onnx';
export const optimizerModelFile = 'optimizer_model.onnx';
/** Where a moving average of parameters is kept. */
export const emaModelFile = 'ema_model.onnx';

/** The last output of the training graph: a number that is there once all gradients are. */
export const gradientsDoneName = 'gradients_done';

/** What a batch brings to the evaluation graph. */
export function evaluationInputsOf({
  inputs,
  evaluationInputs,
}: Pick<Manifest, 'inputs' | 'evaluationInputs'>): readonly BatchInput[] {
  return evaluationInputs ?? inputs;
}

/** Numbers in the model, fixed positions counted. */
export function parameterCount({ parameters }: Pick<Manifest, 'parameters'>): number {
  return parameters.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}
