import { realpathSync } from 'node:fs';
import { alignClasses, checkClasses, readLabels, withLabels } from '../../data/sources/labels.js';
import type { ImageSource } from '../../data/sources/source.js';
import { UserError } from '../../util/errors.js';
import type { FeatureTable } from '../features.js';
import { openImageFolder } from '../open-images.js';

export interface ClassFolderOptions {
  /** Folders of images. */
  readonly trainPath: string;
  readonly valPath: string;
  /** A CSV file of classes; the sub-folders are the classes where not given. */
  readonly labels?: string | undefined;
  readonly rescan: boolean;
}

/** Images to learn from and to be judged by, with the same classes. */
export interface ClassFolders {
  readonly train: ImageSource;
  readonly val: ImageSource;
}

/** A UserError where there are not two classes, each with images in both folders. */
export async function openClassFolders(
  { trainPath, valPath, labels, rescan }: ClassFolderOptions,
  note: (line: string) => void,
): Promise<ClassFolders> {
  const file = labels === undefined ? undefined : readLabels(labels, note);
  let train: ImageSource = await openImageFolder(trainPath, { rescan, note });
  let val: ImageSource = await openImageFolder(valPath, { rescan, note });
  const areSame = realpathSync(trainPath) === realpathSync(valPath);
  if (areSame) {
    note(`--val-path is --train-path: the same pictures are learnt and asked for, so accuracies say little`);
  }
  if (file !== undefined) {
    const [images, others] = [train, val];
    train = withLabels(images, file, note, areSame ? [] : [others]);
    val = areSame ? train : withLabels(others, file, note, [images]);
  }
  checkClasses(train.root, train.classNames, labelsOf(train));
  const aligned = alignClasses(train, val);
  checkClasses(val.root, aligned.classNames, labelsOf(aligned));
  if (file === undefined) for (const source of [train, aligned]) noteUnlabelled(source, note);
  return { train, val: aligned };
}

/** A UserError where a class has no image that could be read, or only one to learn from. */
export function checkImages(
  { train, val }: ClassFolders,
  read: { readonly train: FeatureTable; readonly val: FeatureTable },
): void {
  checkClasses(train.root, train.classNames, read.train.labels);
  checkClasses(val.root, val.classNames, read.val.labels);
}

/** A UserError where a class has one image: it cannot be split. */
export function checkPairs({ root, classNames }: ImageSource, labels: Iterable<number>): void {
  const counts = classSizes(classNames.length, labels);
  const single = classNames.filter((_, place) => counts[place] === 1);
  if (single.length === 0) return;
  const others = single.length === 1 ? '' : ` and of ${single.length - 1} other classes`;
  throw new UserError(
    `classes: expected two images or more of each class in ${root}, got one of ${single[0]}${others}; add some, or ` +
      'give --method knn, which splits nothing',
  );
}

/** How many images each class has. */
export function classSizes(classes: number, labels: Iterable<number>): Int32Array {
  const counts = new Int32Array(classes);
  for (const label of labels) if (label >= 0) counts[label]!++;
  return counts;
}

export function* labelsOf(source: ImageSource): Generator<number> {
  for (let i = 0; i < source.length; i++) if (!source.isMissing(i)) yield source.labelOf(i);
}

function noteUnlabelled(source: ImageSource, note: (line: string) => void): void {
  let count = 0;
  for (const label of labelsOf(source)) if (label < 0) count++;
  if (count > 0) note(`${count} images of ${source.root} are in no class folder; they are left out`);
}
