import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ModelConfig } from '../model/config.js';
import { type MaeOptions, maeInputs, maeMetadata } from '../model/mask.js';
import { maeParameters } from '../model/parameters.js';
import { messageOf, UserError } from '../util/errors.js';
import { type Manifest, type ManifestParameter, manifestFile } from './manifest.js';

/** The manifest of a folder, of format version 1 in the form of version 2; a UserError where there is none. */
export function readManifest(folder: string): Manifest {
  const path = join(folder, manifestFile);
  let manifest: { readonly formatVersion?: unknown } | null;
  try {
    manifest = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new UserError(`${path}: expected a manifest (${messageOf(error)}); run mae build-artifacts`);
  }
  switch (manifest?.formatVersion) {
    case 2:
      return manifest as Manifest;
    case 1:
      return fromVersion1(manifest as ManifestVersion1);
    default:
      throw new UserError(
        `${path}: expected format version 1 or 2, got ${manifest?.formatVersion}; build the artefacts again`,
      );
  }
}

/** Version 1 knew the Masked Autoencoder alone: its options stood beside the rest, its inputs went without saying. */
type ManifestVersion1 = Omit<
  Manifest,
  'formatVersion' | 'task' | 'options' | 'metadata' | 'inputs' | 'outputs' | 'parameters'
> &
  MaeOptions & {
    readonly formatVersion: 1;
    readonly parameters: readonly Omit<ManifestParameter, 'initialization'>[];
  };

function fromVersion1({
  formatVersion: _,
  opset,
  model,
  batchSize,
  maskRatio,
  patches,
  kept,
  predicted,
  normPixLoss,
  parameters,
  ...rest
}: ManifestVersion1): Manifest {
  const specs = maeParameters(model);
  return {
    formatVersion: 2,
    opset,
    task: 'mae',
    options: { maskRatio, patches, kept, ...(predicted !== undefined && { predicted }), normPixLoss },
    metadata: maeMetadata({ maskRatio, normPixLoss }),
    model,
    batchSize,
    inputs: maeInputs(model, batchSize),
    outputs: [
      { name: 'loss', shape: [] },
      { name: 'image_loss', shape: [batchSize] },
      { name: 'pred', shape: [batchSize, patches, patchLength(model)] },
    ],
    parameters: parameters.map((parameter, index) => ({ ...specs[index]!, ...parameter })),
    ...rest,
  };
}

/** P, the numbers of a patch. */
function patchLength({ patchSize }: ModelConfig): number {
  return 3 * patchSize ** 2;
}
