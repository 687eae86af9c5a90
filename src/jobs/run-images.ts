import { type ImageFolder, indexImageFolder } from '../data/sources/image-folder.js';
import { folderOfList, readImageList } from '../data/sources/image-list.js';
import { type PathList, terminatedPaths } from '../data/sources/path-list.js';
import type { ImageSource, SharedFolder, SharedSource } from '../data/sources/source.js';
import { earlierRule } from '../data/sources/what-counts.js';
import type { TrainOptions } from '../train/options.js';
import { anotherRun, type RecordedRun, runToContinue } from '../train/recorded-run.js';
import { UserError } from '../util/errors.js';
import { writeTextAtomically } from '../weights/checkpoint/durable-files.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { openImageFolder } from './open-images.js';

type ImageOptions = Pick<TrainOptions, 'dataPath' | 'valPath' | 'outputDir' | 'resume' | 'rescan'>;
type Note = (line: string) => void;

export interface RunImages {
  readonly trainImages: ImageFolder;
  readonly validationImages: ImageFolder | undefined;
}

/** The images of a run. */
export async function openRunImages(options: ImageOptions, note: Note): Promise<RunImages> {
  const { valPath, rescan } = options;
  const trainImages = await openTrainImages(options, note);
  const validationImages =
    valPath === undefined ? undefined : await openImageFolder(valPath, { rescan, note });
  return { trainImages, validationImages };
}

/**
 * The images to train on. A run that goes on has a list of its own: what is no longer there is missing, and what came
 * later is not in it, for every batch follows from the list.
 */
export async function openTrainImages(
  options: Omit<ImageOptions, 'valPath'>,
  note: Note,
): Promise<ImageFolder> {
  const { dataPath, rescan } = options;
  const run = await runToContinue(options);
  if (run === undefined) return openImageFolder(dataPath, { rescan, note });
  const found = await openImageFolder(dataPath, { rescan, note, mayBeEmpty: true });
  const { dataset } = run.config;
  if (found.fingerprint === dataset.fingerprint) return found;
  const file = runPaths(run.folder).images;
  const list = await readImageList(file, dataset);
  if (list !== undefined && list !== 'damaged') return listedImages(found, list, run, options, note);
  const earlier = await indexImageFolder(dataPath, { rule: earlierRule, mayBeEmpty: true });
  if (earlier.fingerprint === dataset.fingerprint) return earlier;
  throw new UserError(
    `--data-path: expected the ${dataset.images} images that ${run.folder} began with, got ${found.length}, or others, ` +
      `in ${dataPath}, and ${file}, which lists them, ${list === 'damaged' ? 'is damaged' : 'is not there'}; ` +
      `make the folder what it was, or ${anotherRun(run, options)}`,
  );
}

function listedImages(
  found: ImageFolder,
  list: PathList,
  run: RecordedRun,
  options: Omit<ImageOptions, 'valPath'>,
  note: Note,
): ImageFolder {
  const { folder, missing, added } = folderOfList(found, list);
  const { dataPath } = options;
  const another = anotherRun(run, options);
  if (missing.count > folder.length / 2) {
    throw new UserError(
      `--data-path: expected the ${folder.length} images of ${run.folder} in ${dataPath}, got ` +
        `${folder.length - missing.count} of them (${missing.example} is not there, for one); give the folder that the ` +
        `run began with, or ${another}`,
    );
  }
  if (missing.count > 0) {
    note(
      `${dataPath}: ${missing.count} of the run's ${folder.length} images ${missing.count === 1 ? 'is' : 'are'} no ` +
        `longer there, such as ${missing.example}: passed over, the next of the order takes the place`,
    );
  }
  if (added.count > 0) {
    note(
      `${dataPath}: ${added.count} image${added.count === 1 ? '' : 's'}, such as ${added.example}, came after the run ` +
        `began, which goes on without; to train on all, ${another}`,
    );
  }
  return folder;
}

/** Writes the list of a run's images into its directory, if it is not there. */
export async function keepImageList(outputDir: string, source: ImageSource): Promise<void> {
  const { paths } = folderOf(source.share());
  const file = runPaths(outputDir).images;
  const identity = { images: source.length, fingerprint: source.fingerprint };
  const kept = await readImageList(file, identity);
  if (kept === undefined || kept === 'damaged') await writeTextAtomically(file, terminatedPaths(paths));
}

function folderOf(shared: SharedSource): SharedFolder {
  if (shared.kind === 'labels') return folderOf(shared.source);
  if (shared.kind === 'folder') return shared;
  throw new Error(`keepImageList: expected the images of a folder, got ${shared.kind}`);
}
