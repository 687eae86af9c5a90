import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Graph } from '../graph/graph.js';
import { expandDefinitions } from '../lowering/expand.js';
import { keptCount, type ModelConfig, patchCount } from '../model/config.js';
import { maeParameters } from '../model/parameters.js';
import { encodeModel, opsetVersion } from '../onnx/encode.js';
import { adamWDefaults, adamWGraph } from '../optim/adamw.js';
import { UserError } from '../util/errors.js';
import { layOutArena } from './arena-layout.js';
import { evalGraph, trainingGraph } from './graphs.js';
import { evalModelFile, type Manifest, manifestFile, optimizerModelFile, trainingModelFile } from './manifest.js';

export interface ArtifactOptions {
  readonly batchSize: number;
  readonly maskRatio: number;
  readonly normPixLoss: boolean;
  /** Whether gradients add to running ones: needed where a step has more than one micro-batch. */
  readonly accumulate: boolean;
}

export interface Artifacts {
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

/** The portable form of a graph: operators of ONNX's own domain only. */
export function encodePortable(graph: Graph): Uint8Array {
  return encodeModel(expandDefinitions(graph));
}

/** The training, evaluation and optimizer graphs of a model and their manifest. Same options, same bytes. */
export function buildArtifacts(config: ModelConfig, options: ArtifactOptions): Artifacts {
  const { batchSize, maskRatio, normPixLoss, accumulate } = options;
  const kept = checkedKeptCount(config, maskRatio);
  const { arena, parameters } = layOutArena(maeParameters(config));
  const training = trainingGraph(config, batchSize, { kept, normPixLoss, accumulate });
  const files = new Map([
    [trainingModelFile, encodePortable(training)],
    [evalModelFile, encodePortable(evalGraph(config, batchSize, { kept, normPixLoss }))],
    [optimizerModelFile, encodePortable(adamWGraph(arena.chunk))],
  ]);
  const manifest: Manifest = {
    formatVersion: 1,
    opset: opsetVersion,
    model: config,
    batchSize,
    maskRatio,
    patches: patchCount(config),
    kept,
    normPixLoss,
    accumulate,
    parameters,
    arena,
    gradients: training.outputs.flatMap(({ name }) => (name.endsWith('_grad') ? [name] : [])),
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

export function writeArtifacts({ files }: Artifacts, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
}

function describe(bytes: Uint8Array) {
  return { bytes: bytes.byteLength, sha256: createHash('sha256').update(bytes).digest('hex') };
}
