import { readdirSync } from 'node:fs';
import { UserError } from '../util/errors.js';
import { readJsonFile } from '../util/json-file.js';
import { type ModelConfig, parseModelConfig, withInputSize } from './config.js';

const presetFolder = new URL('../../models/', import.meta.url);

/** The preset of the paper's experiments, ViT-L; and the share of patches removed there. */
export const publishedModel = 'mae_vit_large_patch16';
export const publishedMaskRatio = 0.75;

export function presetNames(): string[] {
  return readdirSync(presetFolder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort();
}

/** What a preset is for, a line. */
export function presetDescription(name: string): string {
  const { description } = readJsonFile(presetPath(name), '--model') as { description: string };
  return description;
}

const presetPath = (name: string) => new URL(`${name}.json`, presetFolder);

/** The model that `--model` names: a preset of `models/`, or the path of a JSON file with the same fields. */
export function loadModelConfig(nameOrPath: string): ModelConfig {
  const isPath = nameOrPath.endsWith('.json');
  if (!isPath && !presetNames().includes(nameOrPath)) {
    throw new UserError(
      `--model: expected a JSON file or one of ${presetNames().join(', ')}; got "${nameOrPath}"`,
    );
  }
  const path = isPath ? nameOrPath : presetPath(nameOrPath);
  return parseModelConfig(readJsonFile(path, '--model'), nameOrPath);
}

/** The model that `--model` names, at the input size that `--input-size` asks for. */
export function modelOf({
  model,
  inputSize,
}: {
  model: string;
  inputSize?: ModelConfig['inputSize'] | undefined;
}): ModelConfig {
  const config = loadModelConfig(model);
  return inputSize === undefined ? config : withInputSize(config, inputSize);
}

/** The preset with these sizes, at whatever input size; undefined where there is none. */
export function presetNameOf(config: ModelConfig): string | undefined {
  return presetNames().find((name) => {
    const preset = { ...loadModelConfig(name), inputSize: config.inputSize };
    const fields = Object.keys({ ...preset, ...config }) as (keyof ModelConfig)[];
    return fields.every((field) => preset[field] === config[field]);
  });
}
