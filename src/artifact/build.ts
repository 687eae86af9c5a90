import { createHash } from 'node:crypto';
import { type Lowering, lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel, opsetVersion } from '../compiler/onnx/encode.js';
import { keptCount, type ModelConfig, patchCount, predictedCount } from '../model/config.js';
import { adamWDefaults, adamWGraph } from '../model/optim/adamw.js';
import { maeParameters } from '../model/parameters.js';
import { UserError } from '../util/errors.js';
import { layOutArena } from './arena-layout.js';
import { evalGraph, trainingGraph } from './graphs.js';
import {
  evalModelFile,
  type Manifest,
  manifestFile,
  optimizerModelFile,
  trainingModelFile,
} from './manifest.js';
import { peakActivationBytes } from './memory.js';

export interface ArtifactOptions extends Lowering {
  readonly batchSize: number;
  readonly maskRatio: number;
  /** Share of the removed patches that the training graph predicts, at least one of them; all where not given. */
  readonly predictRatio?: number | undefined;
  readonly normPixLoss: boolean;
  /** Whether gradients add to running ones: needed where a step has more than one micro-batch. */
  readonly accumulate: boolean;
  /** Whether a step keeps only the input of each transformer block and makes the rest again; no where not given. */
  readonly gradCheckpointing?: boolean | undefined;
}

export interface Artifacts {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/**
 * The training, evaluation and optimizer graphs of a model, in the portable form (operators of ONNX's own domain
 * only) unless asked for kernels, and their manifest. Same options, same bytes.
 */
export function buildArtifacts(config: ModelConfig, options: ArtifactOptions): Artifacts {
  const { batchSize, maskRatio, predictRatio, normPixLoss, accumulate, gradCheckpointing } = options;
  const { kernelPrecision, graphPrecision, lacks } = options;
  const kept = checkedKeptCount(config, maskRatio);
  const predicted = checkedPredictedCount(config, kept, predictRatio);
  const { arena, parameters } = layOutArena(maeParameters(config));
  const training = trainingGraph(config, batchSize, {
    kept,
    predicted,
    normPixLoss,
    accumulate,
    gradCheckpointing,
  });
  const lowered = lowerGraph(training, options);
  const evaluation = lowerGraph(evalGraph(config, batchSize, { kept, normPixLoss }), { lacks });
  const optimizer = lowerGraph(adamWGraph(arena.chunk), { kernelPrecision, lacks });
  const files = new Map([
    [trainingModelFile, encodeModel(lowered)],
    [evalModelFile, encodeModel(evaluation)],
    [optimizerModelFile, encodeModel(optimizer, { batchAxis: 'elements' })],
  ]);
  const manifest: Manifest = {
    formatVersion: 1,
    opset: opsetVersion,
    model: config,
    batchSize,
    maskRatio,
    patches: patchCount(config),
    kept,
    ...(predicted < patchCount(config) - kept && { predicted }),
    normPixLoss,
    accumulate,
    ...(gradCheckpointing && { gradCheckpointing }),
    ...(kernelPrecision && { kernelPrecision }),
    ...(graphPrecision && { graphPrecision }),
    parameters,
    arena,
    activationBytes: peakActivationBytes(lowered),
    gradients: lowered.outputs.flatMap(({ name }) => (name.endsWith('_grad') ? [name] : [])),
    optimizer: adamWDefaults,
    files: Object.fromEntries([...files].map(([name, bytes]) => [name, describe(bytes)])),
  };
  files.set(manifestFile, Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return { manifest, files };
}

/** K for a mask ratio; a UserError unless some patches stay and some are removed. */
export function checkedKeptCount(config: ModelConfig, maskRatio: number): number {
  const kept = keptCount(config, maskRatio);
  const patches = patchCount(config);
  if (!(kept >= 1 && kept < patches)) {
    throw new UserError(
      `--mask-ratio: expected a share that keeps and removes at least one of ${patches} patches, got ${maskRatio}`,
    );
  }
  return kept;
}

/** How many removed patches are predicted at a ratio; a UserError unless it is above 0 and at most 1. */
export function checkedPredictedCount(config: ModelConfig, kept: number, predictRatio = 1): number {
  if (!(predictRatio > 0 && predictRatio <= 1)) {
    throw new UserError(`--predict-ratio: expected a number above 0 and at most 1, got ${predictRatio}`);
  }
  return predictedCount(patchCount(config) - kept, predictRatio);
}

function describe(bytes: Uint8Array) {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
