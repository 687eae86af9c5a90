import { alignClasses, checkClasses } from '../data/sources/labels.js';
import type { ImageSource } from '../data/sources/source.js';
import type { TrainOptions } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { openRunImages } from './run-images.js';
import type { RunSources } from './train-job.js';

/** Each image with its class by its folder, the same classes in both. A UserError where that cannot be. */
export async function openClassImages(
  options: TrainOptions,
  note: (line: string) => void,
): Promise<RunSources> {
  const { trainImages, validationImages } = await openRunImages(options, note);
  checkClasses(trainImages.root, trainImages.classNames, labelsOf(trainImages));
  checkLabels('--data-path', trainImages);
  if (validationImages === undefined) return { trainImages, validationImages };
  const aligned = alignClasses(trainImages, validationImages);
  checkLabels('--val-path', aligned);
  return { trainImages, validationImages: aligned };
}

/** The classes of the images that are there. */
export function* labelsOf(source: ImageSource): Generator<number> {
  for (let i = 0; i < source.length; i++) if (!source.isMissing(i)) yield source.labelOf(i);
}

/** A UserError where an image has no class: a target of nothing would be learnt. */
export function checkLabels(flag: string, source: ImageSource): void {
  let without = 0;
  let example = '';
  for (let i = 0; i < source.length; i++) {
    if (source.labelOf(i) >= 0) continue;
    if (without++ === 0) example = source.name(i);
  }
  if (without === 0) return;
  throw new UserError(
    `${flag}: expected each image in a folder of its class, got ${without} outside, such as ${example}; ` +
      'move them into class folders, or elsewhere',
  );
}
