/** The sheets of a run of pretraining: what its model makes of a few pictures, under masks that stay. */
import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { isUnreadable } from '../data/decode/pixels.js';
import { fitImage } from '../data/load-image.js';
import { encodePng } from '../data/pictures/encode-png.js';
import { type GridLayout, gridCanvas, gridLayout } from '../data/pictures/grid-canvas.js';
import { FileBuffer, type ImageSource } from '../data/sources/source.js';
import { imageSize } from '../model/config.js';
import type { MaeOptions } from '../model/mask.js';
import type { Runtime } from '../runtime/runtime.js';
import type { BoundTensor } from '../runtime/tensor.js';
import type { PretrainOptions } from '../train/options.js';
import type { PictureSheets } from '../train/picturing.js';
import { UserError } from '../util/errors.js';
import { replaceFile } from '../util/replace-file.js';
import { writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { readJson } from './check-output.js';
import { Reconstructor } from './reconstructor.js';
import { spreadPictures } from './spread-pictures.js';
import type { PicturedRunSources } from './train-job.js';

/** Pictures of a sheet. */
const columns = 8;
/** Sheets of a run, about. */
const sheetsOfRun = 20;
/** Smaller pictures are enlarged. */
const smallestTile = 128;

const rows = ['original', 'masked', 'reconstruction', 'reconstruction with visible patches'];

type PictureOptions = Pick<
  PretrainOptions,
  'epochs' | 'picturesEvery' | 'outputDir' | 'seed' | 'exifRotation' | 'dataPath' | 'valPath'
>;

/** Epochs from one sheet to the next; 0 for none. */
export function picturesEvery({
  epochs,
  picturesEvery: given,
}: Pick<PretrainOptions, 'epochs' | 'picturesEvery'>): number {
  return given ?? Math.max(1, Math.round(epochs / sheetsOfRun));
}

/** What draws the sheets of a run, if its options ask for them; the pictures are read when the first is drawn. */
export function openPictures(
  runtime: Runtime,
  run: PicturedRunSources,
  options: PictureOptions,
  note: (line: string) => void,
): PictureSheets | undefined {
  const every = picturesEvery(options);
  if (every === 0) return undefined;
  const { dataPath, valPath } = options;
  const source = run.validationImages ?? run.trainImages;
  note(
    `pictures: every ${every === 1 ? 'epoch' : `${every} epochs`}, of ${Math.min(columns, source.length)} images of ` +
      (valPath ?? `${dataPath}, which are trained on: there is no --val-path`),
  );
  return new RunPictures(every, runtime, run, options, note);
}

/** One of the pictures that a sheet shows. */
interface Picture {
  /** Below the folder. */
  readonly name: string;
  /** In the order of the folder. */
  readonly position: number;
  /** uint8 [H, W, 3] */
  readonly image: Uint8Array;
}

class RunPictures implements PictureSheets {
  readonly every: number;
  readonly #runtime: Runtime;
  readonly #run: PicturedRunSources;
  readonly #source: ImageSource;
  readonly #options: PictureOptions;
  readonly #note: (line: string) => void;
  readonly #layout: GridLayout;
  #pictures: readonly Picture[] | undefined;
  #reconstructor: Reconstructor | undefined;

  constructor(
    every: number,
    runtime: Runtime,
    run: PicturedRunSources,
    options: PictureOptions,
    note: (line: string) => void,
  ) {
    this.every = every;
    this.#runtime = runtime;
    this.#run = run;
    this.#source = run.validationImages ?? run.trainImages;
    this.#options = options;
    this.#note = note;
    this.#layout = gridLayout(imageSize(run.manifest.model), smallestTile);
  }

  async write(parameters: ReadonlyMap<string, BoundTensor>, epochs: number): Promise<string> {
    const { outputDir, seed } = this.#options;
    this.#pictures ??= await this.#choose();
    this.#reconstructor ??= this.#reconstructorOf(parameters);
    const panels: (readonly Uint8Array[])[] = [];
    for (const [index, { image }] of this.#pictures.entries()) {
      const [made] = await this.#reconstructor.reconstruct([{ image, index }], seed);
      panels.push(made!.panels);
    }
    const sheet = rows.map((_, row) => panels.map((ofPicture) => ofPicture[row]!));
    const name = `epoch-${String(epochs).padStart(4, '0')}.png`;
    const { pictures } = runPaths(outputDir);
    const png = encodePng(gridCanvas(sheet, this.#layout));
    await replaceFile(join(pictures, name), 'pictures', (temporary) => writeFile(temporary, png));
    await this.#describe(this.#pictures);
    return `pictures/${name}`;
  }

  release(): void {
    this.#reconstructor?.release();
  }

  #reconstructorOf(parameters: ReadonlyMap<string, BoundTensor>): Reconstructor {
    const { model: config, options } = this.#run.manifest;
    const { normPixLoss, maskRatio } = options as MaeOptions;
    return new Reconstructor(this.#runtime, { config, normPixLoss, parameters }, maskRatio);
  }

  /** Those that the run has shown before, or others where they are not there. */
  async #choose(): Promise<Picture[]> {
    const recorded = recordedNames(runPaths(this.#options.outputDir).pictures);
    if (this.#run.isResumed && recorded !== undefined) {
      const places = placesOf(this.#source, recorded);
      const pictures = await Promise.all(places.map((place) => this.#read(place)));
      if (pictures.every((picture) => picture !== undefined)) return pictures;
      this.#note(
        `pictures: those that the run has shown are not all in ${this.#source.root} any more: others are shown from now on`,
      );
    }
    return await this.#chooseAnew();
  }

  async #chooseAnew(): Promise<Picture[]> {
    const { length, root } = this.#source;
    const pictures = await spreadPictures(length, columns, (position) => this.#read(position));
    if (pictures.length === 0) throw new UserError(`expected images that can be read in ${root}, got none`);
    return pictures;
  }

  async #read(position: number | undefined): Promise<Picture | undefined> {
    const source = this.#source;
    if (position === undefined || source.isMissing(position)) return undefined;
    const { exifRotation } = this.#options;
    try {
      const bytes = source.read(position, new FileBuffer());
      const image = await fitImage(bytes, {
        ...imageSize(this.#run.manifest.model),
        fit: 'crop',
        exifRotation,
      });
      return { name: nameOf(source, position), position, image };
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return undefined;
    }
  }

  /** Writes `pictures.json`, where that is new: what the sheets show. */
  async #describe(pictures: readonly Picture[]): Promise<void> {
    const { scale, gap, tile } = this.#layout;
    const description = {
      folder: this.#source.root,
      images: pictures.map(({ name, position }) => ({ name, position })),
      rows,
      tile,
      gap,
      scale,
      mask: { seed: this.#options.seed, ratio: (this.#run.manifest.options as MaeOptions).maskRatio },
    };
    const path = descriptionPath(runPaths(this.#options.outputDir).pictures);
    if (JSON.stringify(readJson(path)) !== JSON.stringify(description))
      await writeJsonAtomically(path, description);
  }
}

const descriptionPath = (folder: string) => join(folder, 'pictures.json');

const nameOf = (source: ImageSource, position: number) => relative(source.root, source.name(position));

/** Names and positions that an earlier process wrote, if it did. */
function recordedNames(folder: string): readonly Pick<Picture, 'name' | 'position'>[] | undefined {
  const { images } = readJson(descriptionPath(folder));
  if (!Array.isArray(images) || images.length === 0) return undefined;
  const isPicture = ({ name, position }: Partial<Picture>) =>
    typeof name === 'string' && Number.isSafeInteger(position);
  return images.every((image) => typeof image === 'object' && image !== null && isPicture(image))
    ? (images as Picture[])
    : undefined;
}

/** Where pictures of these names are now: mostly where they were. */
function placesOf(
  source: ImageSource,
  recorded: readonly Pick<Picture, 'name' | 'position'>[],
): (number | undefined)[] {
  const isThere = ({ name, position }: Pick<Picture, 'name' | 'position'>) =>
    position >= 0 && position < source.length && nameOf(source, position) === name;
  if (recorded.every(isThere)) return recorded.map(({ position }) => position);
  const places = new Map(recorded.map(({ name }) => [name, undefined as number | undefined]));
  for (let position = 0; position < source.length; position++) {
    const name = nameOf(source, position);
    if (places.has(name)) places.set(name, position);
  }
  return recorded.map(({ name }) => places.get(name));
}
