import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../../src/util/errors.js';
import { RandomStream } from '../../../src/util/random.js';
import type { Dtype } from '../../../src/weights/checkpoint/dtypes.js';
import {
  openSafetensors,
  readFloat32,
  readTensor,
  readTensorInto,
  writeSafetensors,
} from '../../../src/weights/checkpoint/safetensors.js';

const golden = (name: string) => fileURLToPath(new URL(`goldens/${name}.safetensors`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'mae-safetensors-'));
const path = join(folder, 'file.safetensors');
afterAll(() => rmSync(folder, { recursive: true }));

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);

describe('files of the published package', () => {
  it('are read', async () => {
    const file = await openSafetensors(golden('types'));
    const about = [...file.tensors.values()].map(({ name, dtype, shape }) => `${name} ${dtype} [${shape}]`);
    expect(about).toEqual([
      'i64 I64 [2,2]',
      'f64 F64 [4]',
      'blocks.0.attn.qkv.weight F32 [3,4]',
      'empty F32 [0,7]',
      'scalar F32 []',
      'bf16 BF16 [8]',
      'f16 F16 [336]',
      'u8 U8 [5]',
    ]);
    expect(file.metadata).toEqual({ format: 'mae "ü"' });
    expect(await readTensor(file, 'i64')).toEqual(new BigInt64Array([0n, -1n, 2n ** 62n, -(2n ** 63n)]));
    expect(await readTensor(file, 'f64')).toEqual(new Float64Array([Math.PI, -Math.E, 1e300, 5e-324]));
    expect(await readFloat32(file, 'f64')).toEqual(new Float32Array([Math.PI, -Math.E, Infinity, 0]));
    expect(await readTensor(file, 'blocks.0.attn.qkv.weight')).toEqual(
      Float32Array.from({ length: 12 }, (_, i) => (i - 6) / 8),
    );
    expect(await readTensor(file, 'empty')).toEqual(new Float32Array(0));
    expect(await readTensor(file, 'scalar')).toEqual(new Float32Array([0.1]));
    expect(await readTensor(file, 'u8')).toEqual(new Uint8Array([0, 1, 2, 3, 4]));
    await file.close();
  });

  it('have 16-bit floats that become the float32 that numpy makes of them', async () => {
    const file = await openSafetensors(golden('types'));
    const expected = await openSafetensors(golden('float32'));
    for (const name of ['f16', 'bf16']) {
      const bits = new Uint32Array((await readFloat32(file, name)).buffer);
      expect(bits).toEqual(new Uint32Array((await readFloat32(expected, name)).buffer));
    }
    await file.close();
    await expected.close();
  });

  it.each(['types', 'plain', 'none', 'float32'])('are what the writer writes: %s', async (name) => {
    const file = await openSafetensors(golden(name));
    const tensors = [...file.tensors.values()].map((entry) => ({
      ...entry,
      data: async () => bytesOf(await readTensor(file, entry.name)),
    }));
    await writeSafetensors(path, tensors, file.metadata);
    expect(readFileSync(path).equals(readFileSync(golden(name)))).toBe(true);
    await file.close();
  });
});

describe('writing', () => {
  const one = { name: 'a', dtype: 'F32', shape: [2], data: new Uint8Array(8) } as const;

  it('refuses what is not a tensor and leaves no file behind', async () => {
    await expect(writeSafetensors(path, [one, one])).rejects.toThrow('a is taken');
    const short = { ...one, data: new Uint8Array(7) };
    await expect(writeSafetensors(path, [short])).rejects.toThrow('a has 8 bytes, got 7');
    await expect(openSafetensors(path)).rejects.toThrow('got ENOENT');
  });

  it('tells a user when there is no such folder', async () => {
    const error = await writeSafetensors(join(folder, 'no', 'file'), [one]).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^safetensors: expected to write 72 B to .*, got ENOENT; check/);
  });

  it('reads into given memory, of exactly the right size', async () => {
    const data = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
    await writeSafetensors(path, [
      { name: 'x', dtype: 'U8', shape: [3], data: data.subarray(0, 3) },
      { ...one, data },
    ]);
    const file = await openSafetensors(path);
    const into = new Uint8Array(12);
    await readTensorInto(file, 'a', into.subarray(2, 10));
    expect([...into]).toEqual([0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
    await expect(readTensorInto(file, 'a', into)).rejects.toThrow('to have 12 bytes, got 8 (F32 [2])');
    await expect(readTensorInto(file, 'b', into)).rejects.toThrow('expected a tensor b in');
    await expect(readFloat32(file, 'x')).rejects.toThrow('F32, F16, BF16 or F64, got U8');
    truncateSync(path, 90);
    await expect(readTensor(file, 'a')).rejects.toThrow('became shorter');
    await file.close();
  });
});

describe('damaged files', () => {
  const withHeader = (json: string | Uint8Array, dataBytes = 0, length = BigInt(Buffer.byteLength(json))) => {
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(length);
    writeFileSync(path, Buffer.concat([prefix, Buffer.from(json), Buffer.alloc(dataBytes)]));
  };
  const tensor = (dtype: Dtype | string, shape: unknown, offsets: unknown) =>
    `{"dtype":"${dtype}","shape":${JSON.stringify(shape)},"data_offsets":${JSON.stringify(offsets)}}`;

  it.each<[string, string, number, bigint?]>([
    ['a header of 4611686018427387904 bytes in a file of 10', '{}', 0, 2n ** 62n],
    ['a header of 3 bytes in a file of 10', '{}', 0, 3n],
    [`does not start with '{'`, ' {}', 0],
    ['not JSON', '{"a":', 0],
    ['"a" twice', `{"a":${tensor('F32', [0], [0, 0])},"\\u0061":${tensor('F32', [0], [0, 0])}}`, 0],
    ['"dtype" twice', '{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1],
    ['a __metadata__ that is not', '{"__metadata__":{"a":1}}', 0],
    ['no object for tensor "a"', '{"a":[]}', 0],
    ['the unknown dtype "toString"', `{"a":${tensor('toString', [1], [0, 1])}}`, 1],
    ['the shape [-1]', `{"a":${tensor('F32', [-1], [0, 4])}}`, 4],
    ['the shape [1.5]', `{"a":${tensor('F32', [1.5], [0, 4])}}`, 4],
    ['the impossible shape', `{"a":${tensor('F32', [2 ** 40, 2 ** 40], [0, 4])}}`, 4],
    ['the data_offsets [0]', `{"a":${tensor('F32', [1], [0])}}`, 4],
    ['data up to byte 8 of only 4', `{"a":${tensor('F32', [2], [0, 8])}}`, 4],
    ['4 bytes where F32 [2] has 8', `{"a":${tensor('F32', [2], [0, 4])}}`, 4],
    ['-4 bytes where F32 [1] has 4', `{"a":${tensor('F32', [1], [4, 0])}}`, 4],
    ['a hole in its data', `{"a":${tensor('U8', [1], [1, 2])}}`, 2],
    ['an overlap in its data', `{"a":${tensor('U8', [2], [0, 2])},"b":${tensor('U8', [2], [1, 3])}}`, 3],
    ['1 bytes behind its last tensor', `{"a":${tensor('U8', [1], [0, 1])}}`, 2],
  ])('%s', async (message, json, dataBytes, length) => {
    withHeader(json, dataBytes, length);
    const error = await openSafetensors(path).catch((e) => e);
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(message);
    expect(error.message).toContain(path);
  });

  it('a header that is not UTF-8, an empty file, a folder', async () => {
    withHeader(Buffer.from([0x7b, 0xff, 0x7d]));
    await expect(openSafetensors(path)).rejects.toThrow('not JSON');
    writeFileSync(path, '');
    await expect(openSafetensors(path)).rejects.toThrow('got 0 bytes');
    await expect(openSafetensors(folder)).rejects.toThrow('got a folder');
  });

  it('500 seeded mutations are an error for the user, or a file whose tensors are its data', async () => {
    const whole = readFileSync(golden('types'));
    const headerBytes = Number(whole.readBigUInt64LE());
    const spliced = (header: string) => {
      const prefix = Buffer.alloc(8);
      prefix.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
      return Buffer.concat([prefix, Buffer.from(header), whole.subarray(8 + headerBytes)]);
    };
    let readable = 0;
    for (let i = 0; i < 500; i++) {
      const random = new RandomStream(1, 'sample', i);
      let bytes: Buffer = Buffer.from(whole);
      const kind = i % 5;
      if (kind === 0) bytes[random.int(bytes.length)] = random.int(256);
      if (kind === 1) bytes[8 + random.int(headerBytes)]! ^= 1 << random.int(8);
      if (kind === 2) bytes = bytes.subarray(0, random.int(bytes.length));
      if (kind === 3) bytes[random.int(8)] = random.int(256);
      if (kind === 4) {
        // One number of the header becomes another.
        const header = whole.toString('utf8', 8, 8 + headerBytes);
        const numbers = [...header.matchAll(/\d+/g)];
        const { index, 0: old } = numbers[random.int(numbers.length)]!;
        const other = [0, 1, 31, 2 ** 31, 2 ** 53, 2 ** 64, -1, 0.5][random.int(8)]!;
        bytes = spliced(header.slice(0, index) + other + header.slice(index + old.length));
      }
      writeFileSync(path, bytes);
      try {
        const file = await openSafetensors(path);
        let sum = file.dataStart;
        for (const { name, bytes: size } of file.tensors.values()) {
          expect((await readTensor(file, name)).byteLength).toBe(size);
          sum += size;
        }
        expect(sum).toBe(bytes.length);
        await file.close();
        readable++;
      } catch (error) {
        expect(error, `mutation ${i}`).toBeInstanceOf(UserError);
      }
    }
    expect(readable).toBeGreaterThan(50);
    expect(readable).toBeLessThan(250);
  });
});
