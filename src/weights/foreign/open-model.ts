import { stat } from 'node:fs/promises';
import type { EncoderNorm } from '../../model/classifier-parameters.js';
import type { ModelConfig } from '../../model/config.js';
import { maeParameters, type ParameterSpec } from '../../model/parameters.js';
import { UserError } from '../../util/errors.js';
import { shown } from '../checkpoint/check-parameters.js';
import { checkpointFiles } from '../checkpoint/checkpoint-files.js';
import { resolveWholeCheckpoint } from '../checkpoint/whole-checkpoint.js';
import { describedModel } from './describe-model.js';
import type { ModelInfo } from './model-info.js';
import { averagedWeights } from './moving-average.js';
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
  const note = (line: string) => void notes.push(line);
  const whole = await resolveWholeCheckpoint(given, [checkpointFiles.model], note);
  const { modelPath, configPath, folder } = whole;
  const file = await averagedWeights(await openWeights(modelPath), folder, note);
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

/** The last norm of a model's encoder: a fine-tuned one may have it for the mean of its tokens alone. */
export function encoderNorm({ tensors }: Pick<PublishedSource, 'tensors'>): EncoderNorm {
  return tensors.has('fc_norm.weight') && !tensors.has('norm.weight') ? 'fc_norm' : 'norm';
}

/** A UserError where the norm of tokens is wanted of an encoder that has one for their mean. */
export function checkNorm(source: PublishedSource, wanted: readonly ParameterSpec[]): void {
  if (encoderNorm(source) === 'norm' || !wanted.some(({ name }) => name === 'norm.weight')) return;
  throw new UserError(
    `checkpoint: expected an encoder with a norm of its tokens in ${source.path}, got one that was fine-tuned with fc_norm, ` +
      'of their mean alone; give the checkpoint that its fine-tuning began with, or one fine-tuned with --pool cls',
  );
}

/** A note about tensors that the model does not have, if there are any. */
export function leftOver(
  source: PublishedSource,
  config: ModelConfig,
  hasDecoder: boolean,
  read: readonly ParameterSpec[],
): string[] {
  const known = new Set([...maeParameters(config), ...read].map(({ name }) => name));
  const names = [...source.tensors.keys()].filter((name) => !known.has(name));
  if (names.length === 0 || (!hasDecoder && names.length === 1 && names[0] === 'mask_token')) return [];
  return [`${source.path} has tensors that the model has not, left unread: ${shown(names, ', ')}`];
}
