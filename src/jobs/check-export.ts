import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../util/errors.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import { withSafetensors } from '../weights/checkpoint/safetensors.js';
import { checkOutputFile, checkOutputFolder, filesOfCheckpoint, readJson, refused } from './check-output.js';

/**
 * hf: a folder of transformers' ViTMAE or ViTForImageClassification; mae: the published names; timm: the encoder or the
 * classifier for timm; web: the encoder for transformers.js, transformers' ViTModel and ONNX Runtime.
 */
export type ExportFormat = 'hf' | 'mae' | 'timm' | 'web';

/** Formats of weights alone; `exportWeb` writes the other. */
export type WeightsFormat = Exclude<ExportFormat, 'web'>;

/** What an export is: a classifier for transformers has a file more, which would be false beside another model. */
export type ExportKind = ExportFormat | 'hf-classifier';

/** What a folder has beside config.json and model.safetensors. */
const moreFiles: { readonly [K in ExportKind]?: readonly string[] } = {
  'hf-classifier': ['preprocessor_config.json'],
  web: [
    'preprocessor_config.json',
    'README.md',
    'onnx/model.onnx',
    'onnx/model_fp16.onnx',
    'onnx/model_quantized.onnx',
  ],
};

/** A UserError where an export would replace anything but an export of the same format, or what it is read from. */
export async function checkExportFolder(
  folder: string,
  format: ExportKind,
  checkpoint: string,
): Promise<void> {
  checkOutputFolder(folder);
  const inputs = await filesOfCheckpoint(checkpoint);
  const [config, model] = [join(folder, 'config.json'), join(folder, 'model.safetensors')];
  const more = moreFiles[format] ?? [];
  for (const path of [config, model, ...more.map((name) => join(folder, name))])
    checkOutputFile(path, inputs);
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
  const isOther = (name: string) =>
    others.test(name) || more.includes(name) || (format === 'web' && name === 'onnx');
  const other = hasConfig || hasModel ? undefined : namesIn(folder).find(isOther);
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
      if (tensors.has('pooler.dense.weight')) return 'web';
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
  const { architectures } = config;
  if (config['model_type'] === 'vit') {
    return Array.isArray(architectures) && architectures[0] === 'ViTModel' ? 'web' : 'hf-classifier';
  }
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
