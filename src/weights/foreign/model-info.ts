import type { Manifest } from '../../artifact/manifest.js';
import type { ModelConfig } from '../../model/config.js';

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

/** The metadata of `model.safetensors`, so that the file alone is enough to use it. */
export function modelMetadata(
  { model, maskRatio, normPixLoss }: Pick<Manifest, 'model' | 'maskRatio' | 'normPixLoss'>,
  step: number,
): Record<string, string> {
  return {
    format: 'mae',
    mask_ratio: String(maskRatio),
    model: JSON.stringify(model),
    norm_pix_loss: String(normPixLoss),
    step: String(step),
  };
}
