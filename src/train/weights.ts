import type { Manifest } from '../artifact/manifest.js';
import { resolveCheckpoint } from '../checkpoint/run-directory.js';
import { openSafetensors, readFloat32, type SafetensorsFile } from '../checkpoint/safetensors.js';
import { type ModelConfig, parseModelConfig } from '../model/config.js';
import type { ParameterSpec } from '../model/parameters.js';
import { messageOf, UserError } from '../util/errors.js';
import { formatShape, type Shape, sameShape } from '../util/shape.js';

/** What `model.safetensors` says of itself, so that the file alone is enough to use it. */
export interface ModelInfo {
  readonly config: ModelConfig;
  readonly maskRatio: number;
  readonly normPixLoss: boolean;
  /** Optimizer steps behind the weights. */
  readonly step: number;
}

/** The metadata of `model.safetensors`. */
export function modelMetadata(manifest: Manifest, step: number): Record<string, string> {
  return {
    format: 'mae',
    mask_ratio: String(manifest.maskRatio),
    model: JSON.stringify(manifest.model),
    norm_pix_loss: String(manifest.normPixLoss),
    step: String(step),
  };
}

function modelInfo({ metadata, path }: SafetensorsFile): ModelInfo {
  if (metadata['format'] !== 'mae' || metadata['model'] === undefined) {
    throw new UserError(
      `checkpoint: expected ${path} to hold a model saved by mae, got a safetensors file without its description; ` +
        'give a run directory or a checkpoint of mae',
    );
  }
  let model: unknown;
  try {
    model = JSON.parse(metadata['model']);
  } catch (error) {
    throw new UserError(`checkpoint: expected JSON in "model" of ${path}, got ${messageOf(error)}`);
  }
  const info = {
    config: parseModelConfig(model, path),
    maskRatio: Number(metadata['mask_ratio']),
    normPixLoss: metadata['norm_pix_loss'] === 'true',
    step: Number(metadata['step']),
  };
  if (!(info.maskRatio > 0 && info.maskRatio < 1) || !Number.isSafeInteger(info.step)) {
    throw new UserError(
      `checkpoint: expected mask_ratio and step in the description of ${path}; it is damaged`,
    );
  }
  return info;
}

export interface Weights extends ModelInfo {
  /** The file they came from. */
  readonly path: string;
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/**
 * Reads the weights of a run directory, a checkpoint folder or a .safetensors file.
 *
 * @param specsOf the parameters wanted of a model of that size; all of them have to be there.
 */
export async function loadWeights(
  given: string,
  specsOf: (config: ModelConfig) => ParameterSpec[],
): Promise<Weights> {
  const { modelPath } = await resolveCheckpoint(given);
  return withSafetensors(modelPath, async (file) => {
    const info = modelInfo(file);
    const specs = specsOf(info.config);
    checkParameters(file, specs);
    const parameters = new Map<string, Float32Array>();
    for (const { name } of specs) parameters.set(name, await readFloat32(file, name));
    return { ...info, path: modelPath, parameters };
  });
}

/** Throws a UserError that lists parameters missing or of another shape, by name. */
export function checkParameters(
  file: SafetensorsFile,
  wanted: readonly { name: string; shape: Shape }[],
): void {
  const problems: string[] = [];
  for (const { name, shape } of wanted) {
    const found = file.tensors.get(name);
    if (found === undefined) problems.push(`${name} is missing`);
    else if (!sameShape(found.shape, shape)) {
      problems.push(`${name} is ${formatShape(found.shape)} instead of ${formatShape(shape)}`);
    }
  }
  if (problems.length === 0) return;
  const shown =
    problems.slice(0, 10).join('; ') + (problems.length > 10 ? `; and ${problems.length - 10} more` : '');
  throw new UserError(`checkpoint: ${file.path} does not fit the model: ${shown}`);
}

/** Opens a file for the time of `use`. */
export async function withSafetensors<T>(
  path: string,
  use: (file: SafetensorsFile) => Promise<T>,
): Promise<T> {
  const file = await openSafetensors(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
