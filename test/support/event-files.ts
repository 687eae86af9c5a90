/** Reads TensorBoard's event files by means of its own: TFRecords with their checksums, protobuf fields by number. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A field of a message: a number of 4 or 8 bytes or a varint, or bytes. */
type Field = readonly [number: number, value: number | Buffer];

/** Bit by bit, as the polynomial 0x1EDC6F41 divides. */
function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

function unmasked(crc: number): number {
  const turned = (crc - 0xa282ead8) >>> 0;
  return ((turned << 15) | (turned >>> 17)) >>> 0;
}

function recordsOf(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    if (unmasked(file.readUInt32LE(at + 8)) !== crc32c(file.subarray(at, at + 8)))
      throw new Error('checksum of a length');
    const data = file.subarray(at + 12, at + 12 + length);
    if (unmasked(file.readUInt32LE(at + 12 + length)) !== crc32c(data))
      throw new Error('checksum of a record');
    records.push(data);
    at += 16 + length;
  }
  return records;
}

function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let power = 1; ; power *= 128) {
      const byte = message[at++]!;
      value += (byte & 127) * power;
      if (byte < 128) return value;
    }
  };
  const next = (length: number): Buffer => {
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = varint();
    const number = key >> 3;
    const type = key & 7;
    if (type === 0) fields.push([number, varint()]);
    else if (type === 1) fields.push([number, next(8).readDoubleLE()]);
    else if (type === 5) fields.push([number, next(4).readFloatLE()]);
    else fields.push([number, next(varint())]);
  }
  return fields;
}

export interface ReadEvents {
  /** [tag, step, value] as TensorBoard would show them, in their order. */
  readonly scalars: readonly (readonly [tag: string, step: number, value: number])[];
  readonly images: readonly (readonly [
    tag: string,
    step: number,
    height: number,
    width: number,
    png: Buffer,
  ])[];
  readonly versions: readonly string[];
}

/** All event files of a folder in the order of their names; a session's start removes that step and later ones. */
export function readEvents(folder: string): ReadEvents {
  let scalars: [string, number, number][] = [];
  let images: [string, number, number, number, Buffer][] = [];
  const versions: string[] = [];
  for (const name of readdirSync(folder).sort()) {
    for (const record of recordsOf(readFileSync(join(folder, name)))) {
      const event = new Map(fieldsOf(record));
      const step = (event.get(2) as number | undefined) ?? 0;
      if (event.has(3)) versions.push(String(event.get(3)));
      if (event.has(7)) {
        scalars = scalars.filter(([, at]) => at < step);
        images = images.filter(([, at]) => at < step);
      }
      for (const [, value] of event.has(5) ? fieldsOf(event.get(5) as Buffer) : []) {
        const summary = new Map(fieldsOf(value as Buffer));
        const tag = String(summary.get(1));
        if (summary.has(2)) scalars.push([tag, step, summary.get(2) as number]);
        if (!summary.has(4)) continue;
        const image = new Map(fieldsOf(summary.get(4) as Buffer));
        images.push([tag, step, image.get(1) as number, image.get(2) as number, image.get(4) as Buffer]);
      }
    }
  }
  return { scalars, images, versions };
}
