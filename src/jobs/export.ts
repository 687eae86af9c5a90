import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { layerNormEps, layerNormEpsilon, type ModelConfig } from '../model/config.js';
import { maeMetadata } from '../model/mask.js';
import { encoderParameters, type ParameterSpec, parametersOf } from '../model/parameters.js';
import { bytesOf } from '../util/bytes.js';
import { replaceFile } from '../util/replace-file.js';
import { type TensorToWrite, writeSafetensors } from '../weights/checkpoint/safetensors.js';
import type { Heads } from '../weights/foreign/heads.js';
import { modelMetadata } from '../weights/foreign/model-info.js';
import { toTransformersNames } from '../weights/foreign/tensor-names.js';
import { timmConfig } from '../weights/foreign/timm-config.js';
import { transformersConfig } from '../weights/foreign/transformers-config.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import { checkExportFolder, type ExportFormat } from './check-export.js';

export interface ExportOptions extends Heads {
  readonly checkpoint: string;
  readonly format: ExportFormat;
  /** The folder to write. */
  readonly output: string;
}

/** What a folder of each format holds. */
interface Exported {
  readonly config: Record<string, unknown>;
  readonly metadata: Record<string, string>;
  readonly tensors: TensorToWrite[];
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
  await checkExportFolder(output, format, checkpoint);
  const specsOf = (config: ModelConfig, hasDecoder: boolean) =>
    parametersOf(config, hasDecoder && format !== 'timm');
  const weights = await loadWeights(checkpoint, specsOf, heads);
  for (const line of [...weights.notes, ...leftOut(weights, format)]) note(line);
  const { config, metadata, tensors } = exporters[format](weights);
  const configPath = join(output, 'config.json');
  const modelPath = join(output, 'model.safetensors');
  await replaceFile(modelPath, 'export', (path) => writeSafetensors(path, tensors, metadata));
  await replaceFile(configPath, 'export', (path) => writeFile(path, `${JSON.stringify(config, null, 2)}\n`));
  return [configPath, modelPath];
}

/** What a format cannot hold of these weights; each a line. */
function leftOut(weights: Weights, format: ExportFormat): string[] {
  if (format !== 'timm') {
    return weights.hasDecoder ? [] : [`${weights.path} has no decoder: the encoder alone is written`];
  }
  const epsilon = layerNormEps(weights.config);
  if (epsilon === layerNormEpsilon) return [];
  return [
    `timm's layer norms add ${layerNormEpsilon}, those of this model ${epsilon}: set norm_layer in timm`,
  ];
}

const exporters: Record<ExportFormat, (weights: Weights) => Exported> = {
  hf: (weights) => ({
    config: transformersConfig(weights, !weights.hasDecoder),
    metadata: { format: 'pt', 'mae.step': String(weights.step) },
    tensors: parametersOf(weights.config, weights.hasDecoder).flatMap((spec) =>
      transformersTensors(spec, weights),
    ),
  }),
  mae: (weights) => ({
    config: { ...weights.config },
    metadata: modelMetadata({ model: weights.config, metadata: maeMetadata(weights) }, weights.step),
    tensors: parametersOf(weights.config, weights.hasDecoder).map((spec) => tensorOf(spec, weights)),
  }),
  timm: (weights) => ({
    config: timmConfig(weights.config),
    metadata: { format: 'pt', 'mae.step': String(weights.step) },
    tensors: encoderParameters(weights.config).map((spec) => tensorOf(spec, weights)),
  }),
};

function tensorOf({ name, shape }: ParameterSpec, { parameters }: Weights): TensorToWrite {
  return { name, dtype: 'F32', shape, data: bytesOf(parameters.get(name)!) };
}

/** One tensor, or the rows of queries, keys and values as three. */
function transformersTensors({ name, shape }: ParameterSpec, weights: Weights): TensorToWrite[] {
  const names = toTransformersNames(name, !weights.hasDecoder);
  const data = weights.parameters.get(name)!;
  const length = data.length / names.length;
  const partShape = [shape[0]! / names.length, ...shape.slice(1)];
  return names.map((part, i) => ({
    name: part,
    dtype: 'F32',
    shape: partShape,
    data: bytesOf(data.subarray(i * length, (i + 1) * length)),
  }));
}
