import {
  classifierMetadata,
  exportedParameters,
  writeClassifierModel,
} from '../artifact/export-classifier.js';
import { type Classifier, loadClassifier, withLinearHead } from '../weights/foreign/classifier.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { checkExportFile, type ExportEncoderOptions, writeExportedWeights } from './export-encoder.js';

export type ExportClassifierOptions = Omit<ExportEncoderOptions, 'pool'>;

/**
 * Writes a fine-tuned model or a linear probe, with the names of its classes. Returns it as it was read; `checkClassifier`
 * compares a file with it.
 *
 * @param note is told what a person should know of how the checkpoint was read.
 */
export async function exportClassifier(
  options: ExportClassifierOptions,
  note: (line: string) => void,
): Promise<Classifier> {
  const { checkpoint, output, format, inputSize } = options;
  await checkExportFile(options, 'classifier');
  const classifier = atInputSize(await loadClassifier(checkpoint), inputSize);
  for (const line of classifier.notes) note(line);
  const linear = withLinearHead(classifier);
  if (format === 'onnx') await writeClassifierModel(output, linear);
  else {
    const metadata = classifierMetadata(linear);
    await writeExportedWeights(output, exportedParameters(linear), linear.parameters, metadata);
  }
  return classifier;
}
