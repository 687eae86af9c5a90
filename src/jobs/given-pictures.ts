import { existsSync, statSync } from 'node:fs';
import { isUnreadable } from '../data/decode/pixels.js';
import { fitImage, type LoadImageOptions, loadImage } from '../data/load-image.js';
import type { ImageFolder } from '../data/sources/image-folder.js';
import { FileBuffer } from '../data/sources/source.js';
import { messageOf, UserError } from '../util/errors.js';
import { checkRegularFile } from '../util/regular-file.js';
import { openImageFolder } from './open-images.js';
import { spreadPictures } from './spread-pictures.js';

/** An image that a person gave, or one of a folder. */
export interface GivenPicture {
  readonly path: string;
  /** Its place among all that are asked for: what cannot be read changes no other's. */
  readonly index: number;
  /** uint8 [H, W, 3] */
  readonly image: Uint8Array;
}

interface Given {
  readonly path: string;
  /** The index of its first picture, and how many it is asked for. */
  readonly first: number;
  readonly count: number;
  readonly folder: ImageFolder | undefined;
}

/** Images and folders of them, of each of which a few are taken, spread over it. */
export class GivenPictures {
  /** How many are asked for. */
  readonly length: number;
  readonly hasFolder: boolean;
  /** What cannot be read of what was named, a line each. */
  readonly failures: string[];
  readonly #given: readonly Given[];
  readonly #note: (line: string) => void;

  private constructor(
    given: readonly Given[],
    length: number,
    failures: string[],
    note: (line: string) => void,
  ) {
    this.#given = given;
    this.length = length;
    this.failures = failures;
    this.hasFolder = given.some(({ folder }) => folder !== undefined);
    this.#note = note;
  }

  /** @param count pictures of each folder */
  static async open(
    paths: readonly string[],
    count: number,
    note: (line: string) => void,
  ): Promise<GivenPictures> {
    const given: Given[] = [];
    const failures: string[] = [];
    let length = 0;
    for (const path of paths) {
      const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
      try {
        const folder = isFolder ? await openImageFolder(path, { rescan: true, note }) : undefined;
        const taken = folder === undefined ? 1 : Math.min(count, folder.length);
        given.push({ path, first: length, count: taken, folder });
        length += taken;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        failures.push(error.message);
        length++;
      }
    }
    return new GivenPictures(given, length, failures, note);
  }

  /** Those that can be read, in their order. */
  async *read(options: Omit<LoadImageOptions, 'note'>): AsyncGenerator<GivenPicture> {
    const noted = new Set<string>(); // of each kind of picture one note is enough
    const optionsOf = (path: string): LoadImageOptions => ({
      ...options,
      note: ({ kind, text }) => {
        if (!noted.has(kind)) this.#note(`${path}: ${text}`);
        noted.add(kind);
      },
    });
    for (const given of this.#given) {
      if (given.folder === undefined) {
        const picture = await this.#readFile(given, optionsOf(given.path));
        if (picture !== undefined) yield picture;
      } else yield* await this.#readFolder(given, given.folder, optionsOf);
    }
  }

  async #readFile({ path, first }: Given, options: LoadImageOptions): Promise<GivenPicture | undefined> {
    try {
      if (existsSync(path)) checkRegularFile(path, 'image');
      return { path, index: first, image: await loadImage(path, options) };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.failures.push(error.message);
      return undefined;
    }
  }

  async #readFolder(
    { path: root, first, count }: Given,
    folder: ImageFolder,
    optionsOf: (path: string) => LoadImageOptions,
  ): Promise<GivenPicture[]> {
    const buffer = new FileBuffer();
    const pictures = await spreadPictures(folder.length, count, async (position, place) => {
      const path = folder.name(position);
      try {
        const image = await fitImage(folder.read(position, buffer), optionsOf(path));
        return { path, index: first + place, image };
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        this.#note(`skipped ${path}: ${messageOf(error)}`);
        return undefined;
      }
    });
    const { length } = folder;
    if (pictures.length === 0) {
      this.failures.push(`image: expected images that can be read in ${root}, got none; give another folder`);
    } else if (pictures.length === length) this.#note(`${root}: all ${length} images`);
    else this.#note(`${root}: ${pictures.length} of ${length} images, spread over the folder`);
    return pictures;
  }
}
