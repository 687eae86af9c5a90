import {
  type ClassifierPool,
  type EncoderNorm,
  headParameters,
  normedEncoder,
} from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import type { ParameterSpec } from '../model/parameters.js';
import { encoderMetadata, withData, writeOnnxModel } from './export-encoder.js';
import { classifierGraph } from './exported-graphs.js';

/** A classifier whose head is one linear layer. */
export interface ExportedClassifier {
  readonly config: ModelConfig;
  readonly pool: ClassifierPool;
  readonly norm: EncoderNorm;
  /** The names of the classes, in the order of the head's rows. */
  readonly classes: readonly string[];
  /** The side of the middle that it should see, as a share of the picture's shorter side. */
  readonly evaluationCrop: number;
  readonly step: number;
  readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** Its parameters, by the names that timm's ViT has them under. */
export function exportedParameters({
  config,
  norm,
  classes,
}: Pick<ExportedClassifier, 'config' | 'norm' | 'classes'>): ParameterSpec[] {
  return [...normedEncoder(config, norm), ...headParameters(config, classes.length, 0)];
}

/** What a user of the classifier has to know; `mae.task` says last and shortly what the file is. */
export function classifierMetadata({
  config,
  step,
  pool,
  classes,
  evaluationCrop,
}: ExportedClassifier): Record<string, string> {
  return {
    'mae.classes': JSON.stringify(classes),
    ...encoderMetadata(config, step, pool),
    'mae.crop_pct': String(evaluationCrop),
    'mae.task': 'classifier',
  };
}

/**
 * Writes the classifier as an ONNX model with its weights inside (or in `<path>.data` where protobuf would end).
 * Input: pixel_values float32 [batch, 3, H, W]; output: logits float32 [batch, C]. Returns the files written.
 */
export function writeClassifierModel(path: string, classifier: ExportedClassifier): Promise<string[]> {
  const { config, pool, norm, classes, parameters } = classifier;
  const graph = classifierGraph(config, pool, norm, classes.length);
  const initializers = withData(exportedParameters(classifier), parameters);
  return writeOnnxModel(path, graph, initializers, { metadata: classifierMetadata(classifier) });
}
