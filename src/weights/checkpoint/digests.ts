/** SHA256SUMS of a checkpoint: whether its files are what was saved. */
import { createHash } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, UserError } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';
import { allCheckpointFiles, type CheckpointFile, checkpointFiles, digestsFile } from './checkpoint-files.js';
import { isFile } from './durable-files.js';
import { openSafetensors } from './safetensors.js';
import { readState } from './state.js';

const pieceBytes = 2 ** 22;

/** Writes the digests of the files in a checkpoint folder; not yet durable. */
export async function writeDigests(folder: string): Promise<void> {
  const lines: string[] = [];
  for (const name of allCheckpointFiles) lines.push(`${await digestOf(join(folder, name))}  ${name}\n`);
  await writeFile(join(folder, digestsFile), lines.join(''));
}

/**
 * What is wrong with files of a checkpoint folder, such as `state.json is missing`; undefined if nothing is. Each is
 * read whole and compared with its digest. Where an earlier version saved none, a file's header has to fit its size.
 */
export async function damageOf(
  folder: string,
  names: readonly CheckpointFile[] = allCheckpointFiles,
): Promise<string | undefined> {
  for (const name of names) if (!(await isFile(join(folder, name)))) return `${name} is missing`;
  let name: string = digestsFile;
  try {
    const digests = await readDigests(folder);
    if (digests === 'torn') return `${digestsFile} is torn`;
    for (name of names) {
      const path = join(folder, name);
      if (digests === undefined) await checkShape(folder, name as CheckpointFile);
      else if ((await digestOf(path)) !== digests.get(name)) return `${name} is not what was saved`;
    }
    return undefined;
  } catch (error) {
    if (codeOf(error) === 'EIO' || (error instanceof Error && codeOf(error.cause) === 'EIO')) {
      return `${name} cannot be read (EIO)`;
    }
    // a system error has a cause: it is not the file's
    if (error instanceof UserError && error.cause === undefined) return `${name} is torn`;
    throw explained(error, 'checkpoint', `to read ${join(folder, name)}`);
  }
}

/** The digests by file name; undefined if there are none, 'torn' where they are not all there. */
async function readDigests(folder: string): Promise<ReadonlyMap<string, string> | 'torn' | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, digestsFile), 'latin1');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const digests = new Map<string, string>();
  for (const [, digest, name] of text.matchAll(/^([0-9a-f]{64}) [ *](.+)$/gm)) digests.set(name!, digest!);
  return allCheckpointFiles.every((name) => digests.has(name)) ? digests : 'torn';
}

/** The SHA-256 of a file in hex. One piece is hashed while the next is read. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  const handle = await open(path, 'r');
  try {
    let [piece, next] = [new Uint8Array(pieceBytes), new Uint8Array(pieceBytes)];
    let reading = handle.read(piece);
    for (;;) {
      const { bytesRead } = await reading;
      if (bytesRead === 0) return hash.digest('hex');
      reading = handle.read(next);
      hash.update(piece.subarray(0, bytesRead));
      [piece, next] = [next, piece];
    }
  } finally {
    await handle.close();
  }
}

async function checkShape(folder: string, name: CheckpointFile): Promise<void> {
  if (name === checkpointFiles.state) await readState(folder);
  else await (await openSafetensors(join(folder, name))).close();
}
