import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf, messageOf, UserError } from '../util/errors.js';
import type { Artifacts } from './build.js';

/** Puts artefacts into a folder; a file that is there already with the same bytes is left alone. */
export function writeArtifacts({ files }: Artifacts, folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
    for (const [name, bytes] of files) {
      const path = join(folder, name);
      if (holds(path, bytes)) continue;
      writeFileSync(`${path}.tmp`, bytes);
      renameSync(`${path}.tmp`, path);
    }
  } catch (error) {
    throw new UserError(`artefacts: cannot write to ${folder} (${codeOf(error) ?? messageOf(error)})`);
  }
}

function holds(path: string, bytes: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(bytes);
  } catch {
    return false;
  }
}
