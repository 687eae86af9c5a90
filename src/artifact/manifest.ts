import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig } from '../model/config.js';
import type { AdamWOptions } from '../model/optim/adamw.js';
import type { ParameterGroup } from '../model/parameters.js';
import { messageOf, UserError } from '../util/errors.js';
import type { Shape } from '../util/shape.js';

/** Precision of the kernels' products; sums are float32 in both. */
export type KernelPrecision = 'fp32' | 'bf16';

/** Precision of a training graph's products where it is not float32, as `lowering/mixed-precision.ts` makes it. */
export type GraphPrecision = 'fp16' | 'bf16';

/** What the three graphs of a folder are and how their memory is laid out. All a trainer needs to know of them. */
export interface Manifest {
  readonly formatVersion: 1;
  readonly opset: number;
  readonly model: ModelConfig;
  readonly batchSize: number;
  readonly maskRatio: number;
  /** L and K. */
  readonly patches: number;
  readonly kept: number;
  /** How many of the L − K removed patches the training graph predicts, where those are not all. */
  readonly predicted?: number;
  readonly normPixLoss: boolean;
  /** Whether the training graph adds to `<parameter>_grad.accumulation.buffer` inputs. */
  readonly accumulate: boolean;
  /** Whether the training graph keeps only the input of each transformer block, where it does. */
  readonly gradCheckpointing?: boolean;
  /** Whether the training and optimizer graphs need the library of `src/kernels`, and its precision. */
  readonly kernelPrecision?: KernelPrecision;
  /** Precision of the training graph in ONNX's own operators, where it is not float32; the other graphs are. */
  readonly graphPrecision?: GraphPrecision;
  readonly parameters: readonly ManifestParameter[];
  readonly arena: ArenaLayout;
  /** Estimate of what a training step holds beside the arenas; see `memory.ts`. */
  readonly activationBytes: number;
  /** Names of gradients in the order in which the backward pass makes them. */
  readonly gradients: readonly string[];
  readonly optimizer: AdamWOptions;
  readonly files: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>;
}

export interface ManifestParameter {
  readonly name: string;
  readonly shape: Shape;
  readonly group: ParameterGroup;
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

export { firstMicroBatchName } from '../compiler/lowering/for-device.js';

export const manifestFile = 'manifest.json';
export const trainingModelFile = 'training_model.onnx';
export const evalModelFile = 'eval_model.onnx';
export const optimizerModelFile = 'optimizer_model.onnx';

/** The manifest of an artefact folder; a UserError where there is none. */
export function readManifest(folder: string): Manifest {
  const path = join(folder, manifestFile);
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
  } catch (error) {
    throw new UserError(`${path}: expected a manifest (${messageOf(error)}); run mae build-artifacts`);
  }
  if (manifest.formatVersion !== 1) {
    throw new UserError(
      `${path}: expected format version 1, got ${manifest.formatVersion}; build the artefacts again`,
    );
  }
  return manifest;
}
