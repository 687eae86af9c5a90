import { exportedParameters } from '../artifact/export-classifier.js';
import { classifierMetadata } from '../model/classifier-parameters.js';
import { UserError } from '../util/errors.js';
import { type Classifier, classifierParameters, withLinearHead } from '../weights/foreign/classifier.js';
import { modelMetadata } from '../weights/foreign/model-info.js';
import { timmConfig } from '../weights/foreign/timm-config.js';
import { preprocessorConfig, transformersClassifierConfig } from '../weights/foreign/transformers-config.js';
import type { WeightsFormat } from './check-export.js';
import { type ExportedFolder, tensorOf, transformersTensors } from './export-folder.js';

/**
 * A fine-tuned model, or a linear probe, as a folder of a format. For others batch norm is part of the linear layer; a
 * UserError where their model cannot be this one.
 */
export function exportedClassifier(classifier: Classifier, format: WeightsFormat): ExportedFolder {
  const { config, step } = classifier;
  if (format === 'mae') {
    const specs = classifierParameters(config, classifier, classifier);
    return {
      configs: { 'config.json': { ...config } },
      metadata: modelMetadata({ model: config, metadata: classifierMetadata(classifier) }, step),
      tensors: specs.map((spec) => tensorOf(spec, classifier.parameters)),
    };
  }
  const linear = withLinearHead(classifier);
  const { parameters, classes, evaluationCrop } = linear;
  const specs = exportedParameters(linear);
  const metadata = { format: 'pt', 'mae.step': String(step) };
  if (format === 'timm') {
    return {
      configs: { 'config.json': timmConfig(config, linear) },
      metadata,
      tensors: specs.map((spec) => tensorOf(spec, parameters)),
    };
  }
  checkReadsClassToken(classifier);
  return {
    configs: {
      'config.json': transformersClassifierConfig(config, classes),
      'preprocessor_config.json': preprocessorConfig(config, evaluationCrop),
    },
    metadata,
    tensors: specs.flatMap((spec) => transformersTensors(spec, parameters, false)),
  };
}

function checkReadsClassToken({ pool, path }: Classifier): void {
  if (pool === 'cls') return;
  throw new UserError(
    `--format: expected timm for ${path}, whose head reads the mean of the patch tokens, got hf, whose ` +
      'ViTForImageClassification reads the class token alone; give --format timm: transformers opens that folder too',
  );
}
