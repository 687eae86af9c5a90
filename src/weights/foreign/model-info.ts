import type { ModelConfig } from '../../model/config.js';
import type { Task } from '../../model/task.js';

/** What is known of a model beside its tensors. */
export interface ModelInfo {
  readonly config: ModelConfig;
  readonly maskRatio: number;
  readonly normPixLoss: boolean;
  /** Optimizer steps behind the weights; 0 where that is unknown. */
  readonly step: number;
  /** What a person should know of how the file was read; each a line. */
  readonly notes: readonly string[];
}

/** What `model.safetensors` says of its model in its keys' order, so that the file alone is enough to use it. */
export function modelMetadata(
  { model, metadata }: Pick<Task, 'model' | 'metadata'>,
  step: number,
): Record<string, string> {
  const fields = { format: 'mae', ...metadata, model: JSON.stringify(model), step: String(step) };
  return Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
}
