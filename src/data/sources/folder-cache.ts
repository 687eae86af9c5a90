import { createHash } from 'node:crypto';
import { type FileHandle, open, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '../../util/make-folder.js';
import { type FolderScan, folderState, lasting } from './folder-scan.js';
import { type ByteString, sharedBytes, sharedOffsets } from './path-list.js';
import type { PassedOver } from './what-counts.js';

/*
 * Layout, little-endian: magic (8 bytes), length of the JSON header (u32), the header, `count + 1` offsets (f64),
 * the path bytes, SHA-256 of all that comes before it (32 bytes).
 */
const MAGIC = Buffer.from('MAEIDX02');
const DIGEST_BYTES = 32;

interface Header {
  root: string;
  count: number;
  pathBytes: number;
  /** When the scan began, in milliseconds since 1970. */
  scannedMs: number;
  /** Each folder below the root, and its state. */
  directories: [path: ByteString, state: string][];
  passedOver: PassedOver;
  unreadable: [code: string, { count: number; example: string }][];
}

/**
 * Times of files are as coarse as their file system makes them, on FAT two seconds: a folder that changed just before it
 * was read may have changed just after, and shows the same time.
 */
const coarsestTimeMs = 2000;

const digestOf = (...parts: Uint8Array[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** The scan saved in `file`, if that is whole, of this root, and no folder has changed since. */
export async function readFolderCache(file: string, root: string): Promise<FolderScan | undefined> {
  const handle = await open(file).catch(() => undefined);
  if (!handle) return undefined;
  try {
    return await readScan(handle, root);
  } finally {
    await handle.close();
  }
}

/** Paths are read straight into their shared memory: at no time are there two of them. */
async function readScan(handle: FileHandle, root: string): Promise<FolderScan | undefined> {
  const { size } = await handle.stat();
  let position = 0;
  const read = async <T extends Uint8Array>(into: T): Promise<T | undefined> => {
    for (let done = 0; done < into.length; ) {
      const { bytesRead } = await handle.read(into, done, Math.min(into.length - done, 2 ** 30), position);
      if (bytesRead === 0) return undefined;
      position += bytesRead;
      done += bytesRead;
    }
    return into;
  };
  const start = await read(Buffer.alloc(MAGIC.length + 4));
  if (!start?.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const headerBytes = start.readUInt32LE(MAGIC.length);
  if (headerBytes > size) return undefined;
  const json = await read(Buffer.alloc(headerBytes));
  const header = json && parseHeader(json);
  // Nothing is trusted before the digest is known, but memory has to be made for what the digest covers.
  const pathsEnd = size - DIGEST_BYTES;
  if (!header || position + (header.count + 1) * 8 + header.pathBytes !== pathsEnd) return undefined;
  const offsets = sharedOffsets(header.count + 1);
  const paths = sharedBytes(header.pathBytes);
  const offsetBytes = new Uint8Array(offsets.buffer);
  if (!(await read(offsetBytes)) || !(await read(paths))) return undefined;
  const digest = await read(Buffer.alloc(DIGEST_BYTES));
  if (!digest?.equals(digestOf(start, json, offsetBytes, paths))) return undefined;
  if (header.root !== root) return undefined;

  const directories = header.directories.map(([path, state]) => ({ path, state }));
  for (const { path, state } of directories) {
    const now = await folderState(root, path).catch(() => undefined);
    if (now?.state !== state || now.changedMs >= header.scannedMs - coarsestTimeMs) return undefined;
  }
  return {
    paths: { bytes: paths, offsets },
    directories,
    passedOver: header.passedOver,
    unreadable: new Map(header.unreadable),
    scannedMs: header.scannedMs,
  };
}

function parseHeader(json: Buffer): Header | undefined {
  try {
    const header: Header = JSON.parse(json.toString());
    const isLength = (n: number) => Number.isSafeInteger(n) && n >= 0;
    return isLength(header.count) && isLength(header.pathBytes) ? header : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Writes beside the file and renames, so that two runs that start together never read half a file. A scan that could not
 * read a folder for the moment is not for keeping: nothing would tell when it can be read.
 */
export async function writeFolderCache(file: string, root: string, scan: FolderScan): Promise<void> {
  if (![...scan.unreadable.keys()].every((code) => lasting.has(code))) return;
  const { bytes, offsets } = scan.paths;
  const header: Header = {
    root,
    count: offsets.length - 1,
    pathBytes: bytes.length,
    scannedMs: scan.scannedMs,
    directories: scan.directories.map(({ path, state }) => [path, state]),
    passedOver: scan.passedOver,
    unreadable: [...scan.unreadable],
  };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const parts = [MAGIC, length, json, new Uint8Array(offsets.buffer), bytes];
  const temporary = `${file}.${process.pid}.tmp`;
  makeFolder(dirname(file));
  try {
    await writeFile(temporary, [...parts, digestOf(...parts)]);
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
