/** The sheets of a run of pretraining: what its model makes of a few pictures, under masks that stay. */
import { writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { evaluationInputsOf, type Manifest } from '../artifact/manifest.js';
import { isUnreadable } from '../data/decode/pixels.js';
import { fitImage } from '../data/load-image.js';
import { randomPermutation } from '../data/masking.js';
import { encodePng } from '../data/pictures/encode-png.js';
import { type GridLayout, gridCanvas, gridLayout } from '../data/pictures/grid-canvas.js';
import { reconstructionPanels } from '../data/pictures/panels.js';
import { FileBuffer, type ImageSource } from '../data/sources/source.js';
import { imageSize } from '../model/config.js';
import type { MaeOptions } from '../model/mask.js';
import type { Evaluator } from '../train/engine/evaluator.js';
import type { PretrainOptions } from '../train/options.js';
import type { PictureSheets } from '../train/picturing.js';
import { UserError } from '../util/errors.js';
import { replaceFile } from '../util/replace-file.js';
import { sizeOf } from '../util/shape.js';
import { writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';
import { readJson } from './check-output.js';
import type { PicturedRunSources } from './train-run.js';

/** Pictures of a sheet, and files that are tried for each of them. */
const columns = 8;
const triesPerColumn = 16;
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
  return new RunPictures(every, run, options, note);
}

/** One of the pictures that a sheet shows. */
interface Picture {
  /** Below the folder. */
  readonly name: string;
  /** In the order of the folder. */
  readonly position: number;
  /** uint8 [H, W, 3] */
  readonly image: Uint8Array;
  /** int64 [L]; the first `kept` patches are visible. */
  readonly idsShuffle: BigInt64Array;
}

class RunPictures implements PictureSheets {
  readonly every: number;
  readonly #manifest: Manifest;
  readonly #source: ImageSource;
  readonly #isResumed: boolean;
  readonly #options: PictureOptions;
  readonly #note: (line: string) => void;
  readonly #layout: GridLayout;
  #pictures: readonly Picture[] | undefined;

  constructor(
    every: number,
    { manifest, trainImages, validationImages, isResumed }: PicturedRunSources,
    options: PictureOptions,
    note: (line: string) => void,
  ) {
    this.every = every;
    this.#manifest = manifest;
    this.#source = validationImages ?? trainImages;
    this.#isResumed = isResumed;
    this.#options = options;
    this.#note = note;
    this.#layout = gridLayout(imageSize(manifest.model), smallestTile);
  }

  async write(evaluator: Evaluator, epochs: number): Promise<string> {
    const { outputDir } = this.#options;
    this.#pictures ??= await this.#choose();
    const panels = await this.#panels(evaluator, this.#pictures);
    const sheet = rows.map((_, row) => panels.map((ofPicture) => ofPicture[row]!));
    const name = `epoch-${String(epochs).padStart(4, '0')}.png`;
    const { pictures } = runPaths(outputDir);
    const png = encodePng(gridCanvas(sheet, this.#layout));
    await replaceFile(join(pictures, name), 'pictures', (temporary) => writeFile(temporary, png));
    await this.#describe(this.#pictures);
    return `pictures/${name}`;
  }

  /** Four for each picture; see `reconstructionPanels`. */
  async #panels(evaluator: Evaluator, pictures: readonly Picture[]): Promise<Uint8Array[][]> {
    const { model, options, batchSize } = this.#manifest;
    const inputs = evaluationInputsOf(this.#manifest);
    const panels: Uint8Array[][] = [];
    for (let first = 0; first < pictures.length; first += batchSize) {
      const some = pictures.slice(first, first + batchSize);
      for (const { name, shape } of inputs) {
        const length = sizeOf(shape.slice(1));
        // a batch that is not full repeats its first picture
        for (let row = 0; row < batchSize; row++) {
          const { image, idsShuffle } = some[row] ?? some[0]!;
          const into = evaluator.inputs[name]!.subarray(row * length, (row + 1) * length);
          if (into instanceof BigInt64Array) into.set(idsShuffle);
          else into.set(image);
        }
      }
      await evaluator.run();
      const pred = evaluator.outputs['pred']!;
      const length = pred.length / batchSize;
      for (const [row, { image, idsShuffle }] of some.entries()) {
        const own = pred.subarray(row * length, (row + 1) * length);
        const predicted = { image, idsShuffle, pred: own, ...(options as MaeOptions) };
        panels.push(reconstructionPanels(predicted, model));
      }
    }
    return panels;
  }

  /** Those that the run has shown before, or others where they are not there. */
  async #choose(): Promise<Picture[]> {
    const recorded = recordedNames(runPaths(this.#options.outputDir).pictures);
    if (this.#isResumed && recorded !== undefined) {
      const places = placesOf(this.#source, recorded);
      const pictures = await Promise.all(places.map((place, column) => this.#read(place, column)));
      if (pictures.every((picture) => picture !== undefined)) return pictures;
      this.#note(
        `pictures: those that the run has shown are not all in ${this.#source.root} any more: others are shown from now on`,
      );
    }
    return await this.#chooseAnew();
  }

  /** Spread over the whole folder, so that they are of several classes; where one cannot be read, one of the next. */
  async #chooseAnew(): Promise<Picture[]> {
    const { length, root } = this.#source;
    const pictures: Picture[] = [];
    for (let column = 0; column < columns; column++) {
      const [start, end] = [column, column + 1].map((edge) => Math.floor((edge * length) / columns));
      const last = Math.min(end!, start! + triesPerColumn);
      for (let position = start!; position < last; position++) {
        const picture = await this.#read(position, pictures.length);
        if (picture === undefined) continue;
        pictures.push(picture);
        break;
      }
    }
    if (pictures.length === 0) throw new UserError(`expected images that can be read in ${root}, got none`);
    return pictures;
  }

  /** The picture at a position of the folder, for a column of the sheet, whose number decides the mask. */
  async #read(position: number | undefined, column: number): Promise<Picture | undefined> {
    const source = this.#source;
    if (position === undefined || source.isMissing(position)) return undefined;
    const { model, options } = this.#manifest;
    const { seed, exifRotation } = this.#options;
    try {
      const bytes = source.read(position, new FileBuffer());
      const image = await fitImage(bytes, { ...imageSize(model), fit: 'crop', exifRotation });
      const idsShuffle = new BigInt64Array((options as MaeOptions).patches);
      randomPermutation(idsShuffle, seed, 0, column); // as `mae reconstruct` with this seed has them
      return { name: nameOf(source, position), position, image, idsShuffle };
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
      mask: { seed: this.#options.seed, ratio: (this.#manifest.options as MaeOptions).maskRatio },
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
