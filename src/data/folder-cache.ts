import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type FolderScan, modifiedNs } from './folder-scan.js';
import { sharedBytes, sharedOffsets } from './path-list.js';

/*
 * Layout, little-endian: magic (8 bytes), length of the JSON header (u32), the header, `count + 1` offsets (f64),
 * the path bytes, SHA-256 of all that comes before it (32 bytes).
 */
const MAGIC = Buffer.from('MAEIDX01');
const DIGEST_BYTES = 32;

interface Header {
  root: string;
  count: number;
  pathBytes: number;
  /** Each folder below the root and the nanosecond in which it last changed, as a decimal string. */
  directories: [path: string, modifiedNs: string][];
}

const digestOf = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The scan saved in `file`, if that is whole, of this root, and no folder has changed since. */
export async function readFolderCache(file: string, root: string): Promise<FolderScan | undefined> {
  const bytes = await readFile(file).catch(() => undefined);
  if (!bytes || bytes.length < MAGIC.length + 4 + DIGEST_BYTES) return undefined;
  const body = bytes.subarray(0, -DIGEST_BYTES);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (!digestOf(body).equals(bytes.subarray(-DIGEST_BYTES))) return undefined;
  const headerStart = MAGIC.length + 4;
  const offsetsStart = headerStart + body.readUInt32LE(MAGIC.length);
  const header: Header = JSON.parse(body.toString('utf8', headerStart, offsetsStart));
  if (header.root !== root) return undefined;

  const directories = header.directories.map(([path, time]) => ({ path, modifiedNs: BigInt(time) }));
  for (const directory of directories) {
    const now = await modifiedNs(root, directory.path).catch(() => undefined);
    if (now !== directory.modifiedNs) return undefined;
  }
  const offsets = sharedOffsets(header.count + 1);
  const pathsStart = offsetsStart + offsets.byteLength;
  new Uint8Array(offsets.buffer).set(body.subarray(offsetsStart, pathsStart));
  const paths = sharedBytes(header.pathBytes);
  paths.set(body.subarray(pathsStart));
  return { paths: { bytes: paths, offsets }, directories };
}

/** Written beside and renamed, so that two runs that start together never read half a file. */
export async function writeFolderCache(file: string, root: string, scan: FolderScan): Promise<void> {
  const { bytes, offsets } = scan.paths;
  const header: Header = {
    root,
    count: offsets.length - 1,
    pathBytes: bytes.length,
    directories: scan.directories.map(({ path, modifiedNs }) => [path, String(modifiedNs)]),
  };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const parts = [MAGIC, length, json, new Uint8Array(offsets.buffer), bytes];
  const temporary = `${file}.${process.pid}.tmp`;
  await mkdir(dirname(file), { recursive: true });
  try {
    await writeFile(temporary, [...parts, digestOf(...parts)]);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
