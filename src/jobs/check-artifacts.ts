import { closeSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { manifestFile } from '../artifact/manifest.js';
import { checkpointFile } from '../artifact/onnxruntime-training/build.js';
import { checkOutputFile, checkOutputFolder, hasFile, readJson, refused } from './check-output.js';

/** A UserError where artefacts would replace anything but artefacts for the same runtime. */
export function checkArtifactFolder(
  folder: string,
  names: readonly string[],
  inputs: readonly string[],
): void {
  checkOutputFolder(folder);
  for (const name of names) checkOutputFile(join(folder, name), inputs);
  const there = [manifestFile, checkpointFile, ...names].find((name) => hasFile(join(folder, name)));
  if (there === undefined) return;
  const isManifest = 'formatVersion' in readJson(join(folder, manifestFile));
  const isSame = names.includes(manifestFile)
    ? isManifest && !hasFile(join(folder, checkpointFile))
    : !hasFile(join(folder, manifestFile)) && isTrainingCheckpoint(join(folder, checkpointFile));
  if (!isSame) {
    throw refused(
      folder,
      'a new folder or artefacts for the same --runtime',
      `a ${there} of something else`,
      'choose another folder',
    );
  }
}

/** Whether a file is a checkpoint for onnxruntime-training: FlatBuffers have their identifier at byte 4. */
function isTrainingCheckpoint(path: string): boolean {
  if (!hasFile(path)) return false;
  const start = Buffer.alloc(8);
  const descriptor = openSync(path, 'r');
  try {
    readSync(descriptor, start, 0, 8, 0);
  } finally {
    closeSync(descriptor);
  }
  return start.toString('latin1', 4) === 'ODTC';
}
