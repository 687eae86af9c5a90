/** What is known of a model beside its tensors: by our own description, by transformers' or timm's, or by their shapes. */
import { readFile, stat } from 'node:fs/promises';
import { publishedEvaluationCrop } from '../../data/augmentation.js';
import { type ModelConfig, parseModelConfig } from '../../model/config.js';
import { publishedMaskRatio } from '../../model/presets.js';
import { messageOf, UserError } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';
import type { ClassifierHead, ModelInfo } from './model-info.js';
import { parseTimmConfig } from './timm-config.js';
import { parseTransformersConfig } from './transformers-config.js';
import type { WeightSource } from './weight-source.js';

/**
 * What a file says of its model, or a config.json of transformers or timm beside it; undefined where nobody says anything.
 *
 * @param isFolder whether a person named the folder: then its config.json has to fit.
 */
export async function describedModel(
  source: WeightSource,
  configPath: string | undefined,
  isFolder: boolean,
): Promise<ModelInfo | undefined> {
  if (source.metadata['format'] === 'mae') return ownInfo(source);
  if (source.metadata['mae.model'] !== undefined) return encoderInfo(source);
  if (configPath === undefined) return undefined;
  const value = await readConfig(configPath);
  const type = value?.['model_type'];
  if (type === 'vit_mae' || type === 'vit') {
    const info = parseTransformersConfig(value!, configPath);
    return { ...info, step: stepOf(source) };
  }
  if (type === undefined && value !== undefined) {
    const info = parseTimmConfig(value, configPath);
    if (info !== undefined) return { ...info, step: stepOf(source) };
  }
  if (isFolder && type !== undefined) {
    throw new UserError(
      `${configPath}: expected a model of the type vit_mae or vit, got ${JSON.stringify(type)?.slice(0, 80)}; give the folder of a ViTMAE`,
    );
  }
  return undefined;
}

function ownInfo({ metadata, path }: WeightSource): ModelInfo {
  if (metadata['model'] === undefined) {
    throw new UserError(
      `checkpoint: expected ${path} to hold the description of its model, got a "format" alone; it is damaged`,
    );
  }
  const config = modelIn(metadata['model'], 'model', path);
  const head = metadata['task'] === 'classifier' ? parseHead(metadata, config, path) : undefined;
  const info = {
    config,
    ...(head && { head }),
    maskRatio: head === undefined ? Number(metadata['mask_ratio']) : publishedMaskRatio, // it masks nothing
    normPixLoss: metadata['norm_pix_loss'] === 'true',
    step: Number(metadata['step']),
    notes: [],
  };
  if (!(info.maskRatio > 0 && info.maskRatio < 1) || !Number.isSafeInteger(info.step)) {
    throw new UserError(
      `checkpoint: expected mask_ratio and step in the description of ${path}; it is damaged`,
    );
  }
  return info;
}

function parseHead(
  { classes: list, pool, crop_pct: crop }: WeightSource['metadata'],
  config: ModelConfig,
  path: string,
): ClassifierHead {
  let classes: unknown;
  try {
    classes = JSON.parse(list ?? '');
  } catch {} // told below
  const evaluationCrop = crop === undefined ? publishedEvaluationCrop(config) : Number(crop);
  const isList = Array.isArray(classes) && classes.every((name) => typeof name === 'string');
  if (!isList || !(pool === 'mean' || pool === 'cls') || !(evaluationCrop > 0 && evaluationCrop <= 1)) {
    throw new UserError(
      `checkpoint: expected classes, pool and crop_pct in the description of ${path}, a classifier; it is damaged`,
    );
  }
  return { classes: classes as string[], pool, evaluationCrop };
}

/** What an encoder that mae export-encoder wrote says: not how the decoder learnt, which it lacks. */
function encoderInfo({ metadata, path }: WeightSource): ModelInfo {
  return {
    config: modelIn(metadata['mae.model']!, 'mae.model', path),
    maskRatio: publishedMaskRatio,
    normPixLoss: false,
    step: stepOf({ metadata }),
    notes: [],
  };
}

/** What exports say of the steps behind their weights; 0 where they say nothing. */
function stepOf({ metadata }: Pick<WeightSource, 'metadata'>): number {
  const step = Number(metadata['mae.step'] ?? 0);
  return Number.isSafeInteger(step) && step >= 0 ? step : 0;
}

function modelIn(text: string, field: string, path: string): ModelConfig {
  let model: unknown;
  try {
    model = JSON.parse(text);
  } catch (error) {
    throw new UserError(`checkpoint: expected JSON in "${field}" of ${path}, got ${messageOf(error)}`);
  }
  return parseModelConfig(model, path);
}

const largestConfigBytes = 2 ** 24;

/** A config.json; undefined where it is JSON of another kind than an object. */
async function readConfig(path: string): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > largestConfigBytes) {
      throw new UserError(
        `${path}: expected the description of a model, got ${size} bytes; move it elsewhere`,
      );
    }
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw explained(error, 'checkpoint', `to read ${path}`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `${path}: expected JSON, got ${messageOf(error).slice(0, 100)}; repair it, or move it elsewhere`,
    );
  }
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject ? (value as Record<string, unknown>) : undefined;
}
