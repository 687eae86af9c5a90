import { readdirSync } from 'node:fs';
import type { ModelConfig } from '../model/config.js';
import type { FinetuneOptions } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { readJsonFile } from '../util/json-file.js';

const folder = new URL('../../recipes/', import.meta.url);

/** What a recipe of fine-tuning says: the files of `recipes/` hold exactly these fields. */
export type Recipe = Pick<
  FinetuneOptions,
  | 'epochs'
  | 'warmupEpochs'
  | 'blr'
  | 'layerDecay'
  | 'dropPath'
  | 'mixup'
  | 'cutmix'
  | 'smoothing'
  | 'randAugment'
  | 'randomErasing'
>;

export function recipeNames(): string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort();
}

export function loadRecipe(name: string): Recipe {
  if (!recipeNames().includes(name)) {
    throw new UserError(`--recipe: expected one of ${recipeNames().join(', ')}, got ${JSON.stringify(name)}`);
  }
  return readJsonFile(new URL(`${name}.json`, folder), '--recipe') as Recipe;
}

/** The recipe for a model's size: those of the paper for ViT-B, L and H by their widths, MAE-Lite's below. */
export function recipeOf({ embedDim }: ModelConfig): string {
  if (embedDim < 768) return 'small';
  if (embedDim < 1024) return 'base';
  return embedDim < 1280 ? 'large' : 'huge';
}
