import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { UserError } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';
import { checkpointFiles } from './checkpoint-files.js';
import { isFile } from './durable-files.js';
import { isModelFile } from './model-content.js';
import { bestCheckpoint, type Checkpoint, latestCheckpoint, runPaths } from './run-directory.js';

export interface ResolvedCheckpoint {
  readonly modelPath: string;
  /** The checkpoint folder around the model, if it has the other files of one. */
  readonly folder?: string;
  readonly statePath?: string;
  /** The run directory that it lies in. */
  readonly runFolder?: string;
  /** config.json of the run, or one that lies beside the model. */
  readonly configPath?: string;
}

/** What transformers calls a model's file where it is not model.safetensors. */
const transformersFiles = ['model.safetensors.index.json', 'pytorch_model.bin'] as const;

/**
 * Finds the model in what a person may point at: a run directory (its latest checkpoint), its `checkpoints`
 * folder, its `latest` or `best` file, a checkpoint folder, a folder of transformers, a safetensors or a .pth file.
 *
 * @param latestOf which checkpoint of a run is taken
 */
export async function resolveCheckpoint(
  given: string,
  latestOf: (run: string) => Promise<Checkpoint | undefined> = latestCheckpoint,
): Promise<ResolvedCheckpoint> {
  const path = resolve(given);
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (error) {
    throw explained(
      error,
      'checkpoint',
      `a run directory, checkpoint folder, .safetensors or .pth file at ${given}`,
    );
  }
  if (!isFolder && isModelFile(path)) return surroundings(path);

  const tried: string[] = [];
  if (isFolder) {
    const modelPath = join(path, checkpointFiles.model);
    for (const name of [checkpointFiles.model, ...transformersFiles]) {
      if (await isFile(join(path, name))) return surroundings(join(path, name));
    }
    tried.push(modelPath, join(path, 'checkpoints', 'latest'), join(path, 'checkpoints', 'step-*'));
    const latest = await latestOf(path);
    if (latest !== undefined) return surroundings(join(latest.folder, checkpointFiles.model));
  }
  const checkpoints = isFolder ? path : dirname(path);
  if (!isFolder && basename(checkpoints) === 'checkpoints' && basename(path) === 'best') {
    const best = await bestCheckpoint(dirname(checkpoints));
    if (best !== undefined) return surroundings(join(best.folder, checkpointFiles.model));
    tried.push(`a whole checkpoint that ${path} names`);
  }
  if (basename(checkpoints) === 'checkpoints' && (isFolder || basename(path) === 'latest')) {
    tried.push(join(checkpoints, 'latest'), join(checkpoints, 'step-*'));
    const latest = await latestOf(dirname(checkpoints));
    if (latest !== undefined) return surroundings(join(latest.folder, checkpointFiles.model));
  }
  const looked = tried.length === 0 ? 'a file of another kind' : `none of ${tried.join(', ')}`;
  throw new UserError(
    `checkpoint: expected a run directory, checkpoint folder, .safetensors or .pth file at ${given}, got ${looked}; ` +
      'check the path, or train until a first checkpoint is saved',
  );
}

async function surroundings(modelPath: string): Promise<ResolvedCheckpoint> {
  const folder = dirname(modelPath);
  const runFolder = basename(dirname(folder)) === 'checkpoints' ? dirname(dirname(folder)) : undefined;
  const statePath = join(folder, checkpointFiles.state);
  const configs = [join(folder, 'config.json')];
  if (runFolder !== undefined) configs.unshift(runPaths(runFolder).config);
  const found = await Promise.all(configs.map(isFile));
  const configPath = configs[found.indexOf(true)];
  return {
    modelPath,
    ...((await isFile(statePath)) && { folder, statePath }),
    ...(runFolder !== undefined && { runFolder }),
    ...(configPath !== undefined && { configPath }),
  };
}
