import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf, UserError } from '../util/errors.js';
import type { Artifacts } from './build.js';

/** A file too large for one array. */
export interface ChunkedFile {
  readonly byteLength: number;
  chunks(): Iterable<Uint8Array>;
}

export interface ArtifactFiles {
  readonly files: ReadonlyMap<string, Uint8Array | ChunkedFile>;
}

/** Puts artefacts into a folder; a file that is there already with the same bytes is left alone. */
export function writeArtifacts({ files }: Artifacts | ArtifactFiles, folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, content] of files) {
      const path = join(folder, name);
      if (!(content instanceof Uint8Array)) writeChunks(`${path}.tmp`, content);
      else if (holds(path, content)) continue;
      else writeFileSync(`${path}.tmp`, content);
      renameSync(`${path}.tmp`, path);
    }
  } catch (error) {
    throw new UserError(`artefacts: cannot write to ${folder} (${codeOf(error) ?? messageOf(error)})`);
  }
}

function writeChunks(path: string, file: ChunkedFile): void {
  const descriptor = openSync(path, 'w');
  try {
    for (const chunk of file.chunks()) {
      for (let written = 0; written < chunk.length; ) written += writeSync(descriptor, chunk, written);
    }
  } finally {
    closeSync(descriptor);
  }
}

function holds(path: string, bytes: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}
