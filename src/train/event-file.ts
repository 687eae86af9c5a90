/**
 * What TensorBoard reads: TFRecords, each an `Event` (tensorflow/core/util/event.proto, framework/summary.proto). The
 * messages are so few that their fields are written here one by one, in the order of their numbers.
 */
import { crc32c } from '../util/crc.js';

export interface EncodedImage {
  readonly height: number;
  readonly width: number;
  readonly png: Uint8Array;
}

export interface SummaryEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step: number;
  /** By tag. */
  readonly scalars?: Readonly<Record<string, number>>;
  readonly images?: Readonly<Record<string, EncodedImage>>;
}

/** Event.file_version, the first record of a file. */
export function fileStart(wallTime: number): Uint8Array {
  return record([double(1, wallTime), bytes(3, utf8('brain.Event:2'))]);
}

/** Event.session_log with START: readers forget what earlier files have of this step and of later ones. */
export function sessionStart(wallTime: number, step: number): Uint8Array {
  return record([double(1, wallTime), varint(2, step), bytes(7, varint(1, 1))]);
}

/** Event.summary. */
export function summaryRecord({ wallTime, step, scalars = {}, images = {} }: SummaryEvent): Uint8Array {
  const values = [
    ...Object.entries(scalars).map(([tag, value]) => [bytes(1, utf8(tag)), float(2, value)]),
    ...Object.entries(images).map(([tag, image]) => [bytes(1, utf8(tag)), bytes(4, imageMessage(image))]),
  ];
  const summary = Buffer.concat(values.map((value) => bytes(1, Buffer.concat(value))));
  return record([double(1, wallTime), varint(2, step), bytes(5, summary)]);
}

/** Summary.Image; colorspace 3 is RGB. */
function imageMessage({ height, width, png }: EncodedImage): Buffer {
  return Buffer.concat([varint(1, height), varint(2, width), varint(3, 3), bytes(4, png)]);
}

/** A TFRecord: u64 length, its checksum, the data, theirs. */
function record(fields: readonly Buffer[]): Buffer {
  const data = Buffer.concat(fields);
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(data.length));
  head.writeUInt32LE(maskedCrc(head.subarray(0, 8)), 8);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(maskedCrc(data));
  return Buffer.concat([head, data, tail]);
}

/** Turned right by 15 bits, plus a constant: as LevelDB masks checksums that stand in checksummed data. */
function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const utf8 = (text: string) => Buffer.from(text);

/** Seven bits a byte, the lowest first. Numbers here are up to 2^53. */
function varintBytes(value: number): number[] {
  const out: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...out, rest];
    out.push((rest % 128) | 128);
  }
}

/** A field's key is its number, then its wire type: 0 varint, 1 eight bytes, 2 bytes with their length, 5 four bytes. */
function varint(field: number, value: number): Buffer {
  return Buffer.from([field << 3, ...varintBytes(value)]);
}

function double(field: number, value: number): Buffer {
  const out = Buffer.alloc(9);
  out[0] = (field << 3) | 1;
  out.writeDoubleLE(value, 1);
  return out;
}

function float(field: number, value: number): Buffer {
  const out = Buffer.alloc(5);
  out[0] = (field << 3) | 5;
  out.writeFloatLE(value, 1);
  return out;
}

function bytes(field: number, data: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(field << 3) | 2, ...varintBytes(data.length)]), data]);
}
