import type { ClassifierPool } from '../../model/classifier-parameters.js';
import type { ModelConfig } from '../../model/config.js';
import type { Task } from '../../model/task.js';

/** What a file of ours says of the head that tells classes. */
export interface ClassifierHead {
  /** The names of the classes, in the order of the head's rows. */
  readonly classes: readonly string[];
  readonly pool: ClassifierPool;
  /** The side of the middle that evaluation saw, as a share of the picture's shorter side. */
  readonly evaluationCrop: number;
}

/** What is known of a model beside its tensors. */
export interface ModelInfo {
  readonly config: ModelConfig;
  readonly maskRatio: number;
  readonly normPixLoss: boolean;
  /** Optimizer steps behind the weights; 0 where that is unknown. */
  readonly step: number;
  /** What a person should know of how the file was read; each a line. */
  readonly notes: readonly string[];
  /** Of a classifier of ours alone. */
  readonly head?: ClassifierHead;
}

/** What `model.safetensors` says of its model in its keys' order, so that the file alone is enough to use it. */
export function modelMetadata(
  { model, metadata }: Pick<Task, 'model' | 'metadata'>,
  step: number,
): Record<string, string> {
  const fields = { format: 'mae', ...metadata, model: JSON.stringify(model), step: String(step) };
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}
