import { stat } from 'node:fs/promises';
import type { ModelConfig } from '../../model/config.js';
import { maeParameters } from '../../model/parameters.js';
import { shown } from '../checkpoint/check-parameters.js';
import { checkpointFiles } from '../checkpoint/checkpoint-files.js';
import { resolveWholeCheckpoint } from '../checkpoint/whole-checkpoint.js';
import { describedModel } from './describe-model.js';
import type { ModelInfo } from './model-info.js';
import { openWeights } from './open-weights.js';
import { inPublishedNames, type PublishedSource } from './tensor-names.js';

/** A file of weights under published names, with what is known of its model. */
export interface OpenModel {
  readonly source: PublishedSource;
  /** Undefined where nothing but the shapes says what the model is. */
  readonly described: ModelInfo | undefined;
  readonly hasDecoder: boolean;
  /** What a person should know of how the file was found and read; each a line. */
  readonly notes: readonly string[];
}

/** Opens what a person gave for the time of `use`. */
export async function withModel<T>(given: string, use: (model: OpenModel) => Promise<T>): Promise<T> {
  const notes: string[] = [];
  const { modelPath, configPath } = await resolveWholeCheckpoint(given, [checkpointFiles.model], (line) =>
    notes.push(line),
  );
  const file = await openWeights(modelPath);
  try {
    const source = inPublishedNames(file);
    notes.push(...source.notes);
    const isFolder = (await stat(given)).isDirectory();
    const described = await describedModel(source, configPath, isFolder);
    const hasDecoder = [...source.tensors.keys()].some((name) => /^decoder_(blocks|embed|pred)\./.test(name));
    return await use({ source, described, hasDecoder, notes });
  } finally {
    await file.close();
  }
}

/** A note about tensors that the model does not have, if there are any. */
export function leftOver(source: PublishedSource, config: ModelConfig, hasDecoder: boolean): string[] {
  const known = new Set(maeParameters(config).map(({ name }) => name));
  const names = [...source.tensors.keys()].filter((name) => !known.has(name));
  if (names.length === 0 || (!hasDecoder && names.length === 1 && names[0] === 'mask_token')) return [];
  return [`${source.path} has tensors that the model has not, left unread: ${shown(names, ', ')}`];
}
