import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../util/errors.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import { withSafetensors } from '../weights/checkpoint/safetensors.js';
import { checkOutputFile, checkOutputFolder, filesOfCheckpoint, readJson, refused } from './check-output.js';

/**
 * hf: a folder of transformers' ViTMAE or ViTForImageClassification; mae: the published names; timm: the encoder or the
 * classifier for timm.
 */
export type ExportFormat = 'hf' | 'mae' | 'timm';

/** What an export is: a classifier for transformers has a file more, which would be false beside another model. */
export type ExportKind = ExportFormat | 'hf-classifier';

/** A UserError where an export would replace anything but an export of the same format, or what it is read from. */
export async function checkExportFolder(
  folder: string,
  format: ExportKind,
  checkpoint: string,
): Promise<void> {
  checkOutputFolder(folder);
  const inputs = await filesOfCheckpoint(checkpoint);
  const names = ['config.json', 'model.safetensors', 'preprocessor_config.json'] as const;
  const [config, model, preprocessor] = names.map((name) => join(folder, name)) as [string, string, string];
  const needed = format === 'hf-classifier' ? [config, model, preprocessor] : [config, model];
  for (const path of needed) checkOutputFile(path, inputs);
  const [hasConfig, hasModel] = [await isFile(config), await isFile(model)];
  const found = hasModel ? await modelKind(model) : undefined;
  // the model is written first: a killed export leaves it without a config.json, never the other way round
  const isSame = found === format && (hasConfig ? configKind(config) === format : format !== 'mae');
  if ((hasConfig || hasModel) && !isSame) {
    const got =
      found === undefined || found === 'other' || found === format
        ? 'files that mae export did not write'
        : `an export as ${found}`;
    throw refused(folder, `a new folder or an export as ${format}`, got, 'choose another folder');
  }
  const others = /^(preprocessor_config\.json|pytorch_model.*\.bin|(model|pytorch_model).*\.index\.json)$/;
  const other = hasConfig || hasModel ? undefined : namesIn(folder).find((name) => others.test(name));
  if (other !== undefined) throw refused(folder, 'a folder without a model', other, 'choose another folder');
}

type Kind = ExportKind | 'other';

/** Which export a model.safetensors is, by what only an export says. */
async function modelKind(path: string): Promise<Kind> {
  try {
    return await withSafetensors(path, async ({ metadata, tensors }) => {
      if (metadata['format'] === 'mae') return 'mae';
      if (metadata['mae.step'] === undefined || metadata['mae.pool'] !== undefined) return 'other';
      if (tensors.has('cls_token')) return 'timm';
      return tensors.has('classifier.weight') ? 'hf-classifier' : 'hf';
    });
  } catch (error) {
    if (error instanceof UserError) return 'other';
    throw error;
  }
}

function configKind(path: string): Kind {
  const config = readJson(path);
  if (config['model_type'] === 'vit_mae') return 'hf';
  if (config['model_type'] === 'vit') return 'hf-classifier';
  if ('architecture' in config && 'pretrained_cfg' in config) return 'timm';
  return 'embedDim' in config && 'patchSize' in config ? 'mae' : 'other';
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // not there yet
  }
}
