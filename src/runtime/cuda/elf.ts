import { closeSync, openSync, readSync } from 'node:fs';

/** Program header types and tags of the dynamic section in the ELF format (elf.h). */
const loadSegment = 1;
const dynamicSegment = 2;
const neededTag = 1n;
const stringTableTag = 5n;

/**
 * The libraries that a shared library names as those it needs (DT_NEEDED), without loading it: loading runs its
 * initialisers. 64-bit little-endian ELF; [] for any other file.
 */
export function neededLibraries(path: string): string[] {
  const file = openSync(path, 'r');
  try {
    const read = (offset: number, length: number): Buffer => {
      const bytes = Buffer.alloc(length);
      return bytes.subarray(0, readSync(file, bytes, 0, length, offset));
    };
    const header = read(0, 64);
    const isElf64 = header.length === 64 && header.readUInt32BE(0) === 0x7f454c46 && header[4] === 2;
    if (!isElf64 || header[5] !== 1) return [];
    const [size, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
    const table = read(Number(header.readBigUInt64LE(32)), size * count);
    const segments = Array.from({ length: count }, (_, i) => {
      const at = (offset: number) => Number(table.readBigUInt64LE(i * size + offset));
      return { type: table.readUInt32LE(i * size), offset: at(8), address: at(16), fileBytes: at(32) };
    });
    const dynamic = segments.find(({ type }) => type === dynamicSegment);
    if (dynamic === undefined) return [];
    const section = read(dynamic.offset, dynamic.fileBytes);
    const entries = Array.from({ length: section.length >> 4 }, (_, i) => ({
      tag: section.readBigInt64LE(16 * i),
      value: Number(section.readBigUInt64LE(16 * i + 8)),
    }));
    const strings = entries.find(({ tag }) => tag === stringTableTag)?.value;
    const segment = segments.find(
      ({ type, address, fileBytes }) =>
        type === loadSegment && strings !== undefined && strings >= address && strings < address + fileBytes,
    );
    if (strings === undefined || segment === undefined) return [];
    const start = segment.offset + strings - segment.address;
    return entries
      .filter(({ tag }) => tag === neededTag)
      .map(({ value }) => {
        const text = read(start + value, 256);
        return text.toString('latin1', 0, Math.max(0, text.indexOf(0)));
      });
  } finally {
    closeSync(file);
  }
}
