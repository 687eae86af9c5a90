import type { FileBuffer, ImageSource, SharedLabels } from './source.js';

/** Images of another source with other classes. */
export class LabelledSource implements ImageSource {
  readonly classNames: readonly string[];
  readonly #source: ImageSource;
  readonly #labels: Int32Array<SharedArrayBuffer>;

  /** @param labels the place in `classNames` of each image, or −1: as an array, or as a function that fills one */
  constructor(
    source: ImageSource,
    classNames: readonly string[],
    labels: Int32Array<SharedArrayBuffer> | ((i: number) => number),
  ) {
    this.#source = source;
    this.classNames = classNames;
    if (typeof labels === 'function') {
      this.#labels = new Int32Array(new SharedArrayBuffer(4 * source.length));
      for (let i = 0; i < source.length; i++) this.#labels[i] = labels(i);
    } else this.#labels = labels;
  }

  get length(): number {
    return this.#source.length;
  }

  get root(): string {
    return this.#source.root;
  }

  /** Of the images, whatever their classes. */
  get fingerprint(): string {
    return this.#source.fingerprint;
  }

  name(i: number): string {
    return this.#source.name(i);
  }

  isMissing(i: number): boolean {
    return this.#source.isMissing(i);
  }

  read(i: number, into: FileBuffer): Uint8Array {
    return this.#source.read(i, into);
  }

  labelOf(i: number): number {
    return this.#labels[i]!;
  }

  share(): SharedLabels {
    const { classNames } = this;
    return { kind: 'labels', source: this.#source.share(), labels: this.#labels, classNames };
  }
}
