import { readdirSync } from 'node:fs';
import type { ModelConfig } from '../model/config.js';
import type { FinetuneOptions } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { readJsonFile } from '../util/json-file.js';

const folder = new URL('../../recipes/', import.meta.url);

/** Commands whose recipes are files, in a folder of `recipes/` each. */
type RecipeCommand = 'pretrain' | 'finetune';

/** What a recipe of fine-tuning says: the files of `recipes/finetune/` hold exactly these fields. */
export type FinetuneRecipe = Pick<
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

export function recipeNames(command: RecipeCommand): string[] {
  return readdirSync(new URL(command, folder))
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort();
}

export function loadRecipe<R = FinetuneRecipe>(command: RecipeCommand, name: string): R {
  const names = recipeNames(command);
  if (!names.includes(name)) {
    throw new UserError(`--recipe: expected one of ${names.join(', ')}, got ${JSON.stringify(name)}`);
  }
  return readJsonFile(new URL(`${command}/${name}.json`, folder), '--recipe') as R;
}

/** The recipe for a model's size: those of the paper for ViT-B, L and H by their widths, MAE-Lite's below. */
export function recipeOf({ embedDim }: ModelConfig): string {
  if (embedDim < 768) return 'small';
  if (embedDim < 1024) return 'base';
  return embedDim < 1280 ? 'large' : 'huge';
}
