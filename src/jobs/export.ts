import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { layerNormEps, layerNormEpsilon, type ModelConfig } from '../model/config.js';
import { maeMetadata } from '../model/mask.js';
import { encoderParameters, parametersOf } from '../model/parameters.js';
import { replaceFile } from '../util/replace-file.js';
import { writeSafetensors } from '../weights/checkpoint/safetensors.js';
import { classifierParameters } from '../weights/foreign/classifier.js';
import type { Heads } from '../weights/foreign/heads.js';
import { modelMetadata } from '../weights/foreign/model-info.js';
import { timmConfig } from '../weights/foreign/timm-config.js';
import { transformersConfig } from '../weights/foreign/transformers-config.js';
import { type FoundModel, loadWeights, type Weights } from '../weights/foreign/weights.js';
import { checkExportFolder, type WeightsFormat } from './check-export.js';
import { exportedClassifier } from './export-classifier-folder.js';
import { type ExportedFolder, tensorOf, transformersTensors } from './export-folder.js';

export interface ExportOptions extends Heads {
  readonly checkpoint: string;
  readonly format: WeightsFormat;
  /** The folder to write. */
  readonly output: string;
}

/**
 * Writes a model for other libraries, and for us to read again: the same weights give the same bytes. Returns the
 * files written.
 *
 * @param note is told what a person should know of how the checkpoint was read, and of what is left out.
 */
export async function exportModel(
  { checkpoint, format, output, ...heads }: ExportOptions,
  note: (line: string) => void,
): Promise<string[]> {
  const specsOf = (config: ModelConfig, hasDecoder: boolean, found: FoundModel) =>
    found.head === undefined
      ? parametersOf(config, hasDecoder && format !== 'timm')
      : classifierParameters(config, found, found.head);
  const weights = await loadWeights(checkpoint, specsOf, heads);
  const isClassifier = weights.head !== undefined;
  const kind = isClassifier && format === 'hf' ? 'hf-classifier' : format;
  await checkExportFolder(output, kind, checkpoint);
  const { configs, metadata, tensors } = isClassifier
    ? exportedClassifier({ ...weights, ...weights.head! }, format)
    : exporters[format](weights);
  for (const line of [...weights.notes, ...leftOut(weights, format)]) note(line);
  const modelPath = join(output, 'model.safetensors');
  await replaceFile(modelPath, 'export', (path) => writeSafetensors(path, tensors, metadata));
  const paths: string[] = [];
  for (const [name, config] of Object.entries(configs)) {
    paths.push(join(output, name));
    const text = `${JSON.stringify(config, null, 2)}\n`;
    await replaceFile(paths.at(-1)!, 'export', (path) => writeFile(path, text));
  }
  return [...paths, modelPath];
}

/** What a format cannot hold of these weights; each a line. */
function leftOut(weights: Weights, format: WeightsFormat): string[] {
  if (format !== 'timm') {
    return weights.hasDecoder || weights.head
      ? []
      : [`${weights.path} has no decoder: the encoder alone is written`];
  }
  const epsilon = layerNormEps(weights.config);
  if (epsilon === layerNormEpsilon) return [];
  return [
    `timm's layer norms add ${layerNormEpsilon}, those of this model ${epsilon}: set norm_layer in timm`,
  ];
}

const exporters: Record<WeightsFormat, (weights: Weights) => ExportedFolder> = {
  hf: (weights) => ({
    configs: { 'config.json': transformersConfig(weights, !weights.hasDecoder) },
    metadata: { format: 'pt', 'mae.step': String(weights.step) },
    tensors: parametersOf(weights.config, weights.hasDecoder).flatMap((spec) =>
      transformersTensors(spec, weights.parameters, !weights.hasDecoder),
    ),
  }),
  mae: (weights) => ({
    configs: { 'config.json': { ...weights.config } },
    metadata: modelMetadata({ model: weights.config, metadata: maeMetadata(weights) }, weights.step),
    tensors: parametersOf(weights.config, weights.hasDecoder).map((spec) =>
      tensorOf(spec, weights.parameters),
    ),
  }),
  timm: (weights) => ({
    configs: { 'config.json': timmConfig(weights.config) },
    metadata: { format: 'pt', 'mae.step': String(weights.step) },
    tensors: encoderParameters(weights.config).map((spec) => tensorOf(spec, weights.parameters)),
  }),
};
