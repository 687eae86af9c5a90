import { closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolder } from '../util/make-folder.js';
import { explained } from '../util/system-errors.js';
import type { Artifacts } from './build.js';

/** A file too large for one array. */
export interface ChunkedFile {
  readonly byteLength: number;
  chunks(): Iterable<Uint8Array>;
}

export interface ArtifactFiles {
  readonly files: ReadonlyMap<string, Uint8Array | ChunkedFile>;
}

/**
 * Puts artefacts into a folder, each by a rename; a file that is there already with the same bytes is left alone. What
 * cannot be finished is removed.
 */
export function writeArtifacts({ files }: Artifacts | ArtifactFiles, folder: string): void {
  let temporary: string | undefined;
  try {
    makeFolder(folder);
    for (const [name, content] of files) {
      const path = join(folder, name);
      if (content instanceof Uint8Array && holds(path, content)) continue;
      temporary = `${path}.tmp`;
      if (content instanceof Uint8Array) writeFileSync(temporary, content);
      else writeChunks(temporary, content);
      renameSync(temporary, path);
      temporary = undefined;
    }
  } catch (error) {
    if (temporary !== undefined) rmSync(temporary, { force: true });
    throw explained(error, 'artefacts', `to write into ${folder}`);
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
