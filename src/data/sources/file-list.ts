import { createHash } from 'node:crypto';
import type { FileBuffer, ImageSource, SharedFiles } from './source.js';

/** Files that a person named one by one, in that order, without classes. */
export class FileList implements ImageSource {
  readonly root = 'the files given';
  readonly classNames: readonly string[] = [];
  readonly #paths: readonly string[];

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  get length(): number {
    return this.#paths.length;
  }

  /** Of their names in their order. */
  get fingerprint(): string {
    return createHash('sha256').update(this.#paths.join('\0')).digest('hex');
  }

  name(i: number): string {
    return this.#paths[i]!;
  }

  isMissing(): boolean {
    return false;
  }

  read(i: number, into: FileBuffer): Uint8Array {
    return into.readFile(this.name(i));
  }

  labelOf(): number {
    return -1;
  }

  share(): SharedFiles {
    return { kind: 'files', paths: this.#paths };
  }
}
