/** What to try with a run that has ended, as words for a shell. */
import { join } from 'node:path';
import type { ImageSource } from '../data/sources/source.js';
import type { ClassifierOptions, PretrainOptions } from '../train/options.js';
import { shellWord } from '../util/shell-word.js';
import type { RunSources } from './train-job.js';

const words = (...all: readonly string[]) => all.map(shellWord).join(' ');

/** Beside the run, for nothing is written into what it is read from. */
function beside(outputDir: string, ending: string): string {
  return `${outputDir.replace(/[/\\]+$/, '')}${ending}`;
}

/** After pretraining: what the encoder is worth, and what the model makes of pictures. */
export function afterPretraining(
  options: Pick<PretrainOptions, 'outputDir' | 'dataPath' | 'valPath' | 'probePath' | 'probeValPath'>,
  { trainImages, validationImages }: RunSources,
): string[] {
  const { outputDir } = options;
  const checkpoint = ['--checkpoint', outputDir];
  const { train, val } = labelledFolders(options, trainImages, validationImages);
  return [
    words('mae', 'evaluate', ...checkpoint, '--train-path', train, '--val-path', val),
    words(
      ...['mae', 'reconstruct', ...checkpoint, '-o', beside(outputDir, '.png')],
      picture(validationImages ?? trainImages),
    ),
  ];
}

/** Class folders that the run had; where it had none, words in capitals stand for them. */
function labelledFolders(
  {
    dataPath,
    valPath,
    probePath,
    probeValPath,
  }: Pick<PretrainOptions, 'dataPath' | 'valPath' | 'probePath' | 'probeValPath'>,
  trainImages: ImageSource,
  validationImages: ImageSource | undefined,
): { train: string; val: string } {
  if (probePath !== undefined && probeValPath !== undefined) return { train: probePath, val: probeValPath };
  const { classNames } = trainImages;
  const has = {
    train: classNames.length > 1,
    val: validationImages?.classNames.every((name) => classNames.includes(name)),
  };
  return {
    train: has.train ? dataPath : 'CLASS_FOLDERS',
    val: has.train && has.val ? valPath! : 'OTHER_CLASS_FOLDERS',
  };
}

/** After a classifier: what it says of pictures, and a file of it. */
export function afterClassifier({
  outputDir,
  dataPath,
  valPath,
}: Pick<ClassifierOptions, 'outputDir' | 'dataPath' | 'valPath'>): string[] {
  const checkpoint = ['--checkpoint', outputDir];
  return [
    words('mae', 'predict', ...checkpoint, valPath ?? dataPath),
    words('mae', 'export-classifier', ...checkpoint, '-o', beside(outputDir, '.onnx')),
  ];
}

/** The first whose name a terminal prints as it is. */
function picture(source: ImageSource): string {
  for (let i = 0; i < Math.min(source.length, triedNames); i++) {
    if (/^[\p{L}\p{N}\p{P}\p{S}\p{Zs}]+$/u.test(source.name(i))) return source.name(i);
  }
  return join(source.root, 'PICTURE');
}

const triedNames = 100;
