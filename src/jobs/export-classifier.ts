import {
  classifierMetadata,
  exportedParameters,
  writeClassifierModel,
} from '../artifact/export-classifier.js';
import { loadClassifier, withLinearHead } from '../weights/foreign/classifier.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { checkClassifier, type ExportCheck } from './check-exported.js';
import {
  checkExportFile,
  type ExportFileOptions,
  replaceChecked,
  writeExportedWeights,
} from './export-encoder.js';

/**
 * Writes a fine-tuned model or a linear probe, with the names of its classes. A model of ONNX is compared with the
 * evaluation graph before it appears. Returns the names, and what was found.
 *
 * @param note is told what a person should know of how the checkpoint was read.
 */
export async function exportClassifier(
  options: ExportFileOptions,
  note: (line: string) => void,
): Promise<{ classes: readonly string[]; check?: ExportCheck }> {
  const { checkpoint, output, format, inputSize } = options;
  await checkExportFile(options, 'classifier');
  const classifier = atInputSize(await loadClassifier(checkpoint), inputSize);
  for (const line of classifier.notes) note(line);
  const linear = withLinearHead(classifier);
  const { classes } = linear;
  if (format === 'safetensors') {
    const metadata = classifierMetadata(linear);
    await writeExportedWeights(output, exportedParameters(linear), linear.parameters, metadata);
    return { classes };
  }
  const check = await replaceChecked(
    output,
    (path) => writeClassifierModel(path, linear),
    (path) => checkClassifier(path, classifier, options),
  );
  return { classes, check };
}
