import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { finetuneTask, linprobeTask } from '../../src/model/classifier.js';
import type { ClassifierPool } from '../../src/model/classifier-parameters.js';
import type { ModelConfig } from '../../src/model/config.js';
import type { Task } from '../../src/model/task.js';
import { modelMetadata } from '../../src/weights/foreign/model-info.js';
import { tinyModel, writeTensorFile } from './cli-files.js';
import { randomUniform } from './random.js';

export interface ClassifierFile {
  readonly kind: 'fine-tuned' | 'probe';
  readonly pool: ClassifierPool;
  readonly classes?: readonly string[];
  readonly config?: ModelConfig;
  readonly evaluationCrop?: number;
}

/** The task whose weights such a file holds. */
export function classifierTask({ kind, pool, ...rest }: ClassifierFile): Task {
  const { classes = ['ant', 'bee', 'cat'], config = tinyModel, evaluationCrop = 0.875 } = rest;
  if (kind === 'probe') return linprobeTask(config, { classes, pool, evaluationCrop });
  const ofTraining = { layerDecay: 0.75, smoothing: 0.1, hasDropPath: true, hasMix: true, hasErasing: true };
  return finetuneTask(config, { classes, pool, evaluationCrop, ...ofTraining });
}

/** A model.safetensors in a folder as a run saves it, of random weights that are all of some size; returns its path. */
export function writeClassifier(folder: string, options: ClassifierFile): string {
  const task = classifierTask(options);
  const tensors = task.parameters.map(({ name, shape }, i) => {
    const data = Float32Array.from(randomUniform(1, shape, -0.5, 0.5, i));
    // what divides is not near zero
    const isScale = /norm\d?\.weight$|running_var$/.test(name);
    return [name, { shape, data: isScale ? data.map((value) => 1.25 + value) : data }] as const;
  });
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${options.kind}-${options.pool}.safetensors`);
  writeTensorFile(path, { metadata: modelMetadata(task, 7), tensors: new Map(tensors) });
  return path;
}
