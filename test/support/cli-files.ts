/** What the tests of the command line give it and read back; files are read by means of their own, not src's. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll } from 'vitest';
import { writeSampleImages } from '../../src/data/pictures/sample-images.js';
import type { ModelConfig } from '../../src/model/config.js';

/** 16 patches, 4 of them visible: a step takes milliseconds. */
export const tinyModel = {
  inputSize: 16,
  patchSize: 4,
  embedDim: 24,
  depth: 1,
  numHeads: 2,
  decoderEmbedDim: 16,
  decoderDepth: 1,
  decoderNumHeads: 2,
  mlpRatio: 2,
} as const satisfies ModelConfig;

/** A folder that goes when the file's tests have ended. */
export function fileFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mae-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function writeModel(folder: string, config: ModelConfig = tinyModel): string {
  const path = join(folder, 'model.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

/** Small JPEGs in class folders; returns their paths. */
export function writeImages(folder: string, count: number, seed = 0): Promise<string[]> {
  return writeSampleImages(folder, { count, seed, width: 32, height: 24 });
}

/** Options by flag name; true is a flag without a value, undefined leaves one out. */
export type FlagValues = Readonly<Record<string, string | number | true | undefined>>;

export function flags(values: FlagValues): string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
}

/** `mae pretrain` of the tiny model on one thread, a line of the log each step. */
export function pretrainArgs(values: FlagValues): string[] {
  return [
    'pretrain',
    ...flags({
      'batch-size': 8,
      epochs: 3,
      'warmup-epochs': 1,
      lr: 1e-3,
      threads: 1,
      'num-workers': 0,
      'log-every': 1,
      ...values,
    }),
  ];
}

export interface LogLine {
  readonly type: string;
  readonly time: string;
  readonly [field: string]: unknown;
}

/** log.jsonl; throws where a line is not JSON. */
export function readLog(run: string, type?: string): LogLine[] {
  const text = readFileSync(join(run, 'log.jsonl'), 'utf8');
  if (!text.endsWith('\n')) throw new Error(`log.jsonl of ${run} ends inside a line`);
  const lines = text
    .slice(0, -1)
    .split('\n')
    .map((line) => JSON.parse(line) as LogLine);
  return type === undefined ? lines : lines.filter((line) => line.type === type);
}

/** SHA-256 of every file below a folder by relative path. */
export function filesOf(folder: string): Record<string, string> {
  const hashes: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    hashes[relative(folder, path)] = createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  return hashes;
}

/** The steps of the checkpoints of a run, ascending. */
export function savedSteps(run: string): number[] {
  const folder = join(run, 'checkpoints');
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.startsWith('step-'));
  return names.map((name) => Number(name.slice('step-'.length))).sort((a, b) => a - b);
}

/** The folder that checkpoints/latest names. */
export function latestFolder(run: string): string {
  const folder = join(run, 'checkpoints');
  return join(folder, readFileSync(join(folder, 'latest'), 'utf8').trim());
}

export interface TensorFile {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
}

/** A safetensors file of float32: 8 bytes of header size, a JSON header, the numbers. */
export function readTensorFile(path: string): TensorFile {
  const bytes = readFileSync(path);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const { __metadata__: metadata = {}, ...entries } = header as typeof header & {
    __metadata__?: Record<string, string>;
  };
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    if (dtype !== 'F32') throw new Error(`${path}: ${name} is ${dtype}`);
    const [start, end] = data_offsets.map((offset) => 8 + headerBytes + offset) as [number, number];
    tensors.set(name, { shape, data: new Float32Array(Uint8Array.from(bytes.subarray(start, end)).buffer) });
  }
  return { metadata: metadata as Record<string, string>, tensors };
}

/** Writes such a file. */
export function writeTensorFile(path: string, { metadata, tensors }: TensorFile): void {
  let offset = 0;
  const header: Record<string, unknown> = { __metadata__: metadata };
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + data.byteLength] };
    offset += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const parts = [...tensors.values()].map(({ data }) =>
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  );
  writeFileSync(path, Buffer.concat([size, text, ...parts]));
}
