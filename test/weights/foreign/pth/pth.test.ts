import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UserError } from '../../../../src/util/errors.js';
import { openSafetensors, readTensor } from '../../../../src/weights/checkpoint/safetensors.js';
import { openPth } from '../../../../src/weights/foreign/pth/pth.js';
import { digest, readPthDigests, weightsPath } from '../weight-goldens.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-pth-'));
const path = join(folder, 'file.pth');
afterAll(() => rmSync(folder, { recursive: true }));

async function refusal(given: string): Promise<string> {
  const error = await openPth(given).then(
    () => new Error('not refused'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as Error).message;
}

describe('files of torch.save', () => {
  it.each([2, 3, 4, 5])('hold the tensors that safetensors has of them: protocol %i', async (protocol) => {
    const file = await openPth(weightsPath(`mixed-${protocol}.pth`));
    const expected = await openSafetensors(weightsPath('mixed.safetensors'));
    expect([...file.tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
    for (const [name, { dtype, shape }] of expected.tensors) {
      expect(file.tensors.get(name), name).toMatchObject({ dtype, shape });
      expect(await file.readTensor(name), name).toEqual(await readTensor(expected, name));
    }
    await expect(file.readFloat32('i64')).rejects.toThrow('expected i64 in');
    await file.close();
    await expected.close();
  });

  it('are training checkpoints: the entry "model", with the options beside it', async () => {
    const file = await openPth(weightsPath('training.pth'));
    const { training } = readPthDigests();
    expect([...file.tensors.keys()].sort()).toEqual(Object.keys(training).sort());
    for (const [name, expected] of Object.entries(training)) {
      expect(digest(await file.readFloat32(name)), name).toBe(expected);
    }
    expect(file.metadata).toMatchObject({ mask_ratio: '0.6', norm_pix_loss: 'true', blr: '0.001' });
    expect(file.metadata['lr']).toBeUndefined();
    await file.close();
  });

  it('may hold half precision, which is read as float32', async () => {
    const file = await openPth(weightsPath('encoder-half.pth'));
    for (const [name, expected] of Object.entries(readPthDigests().encoder)) {
      expect(file.tensors.get(`module.${name}`)!.dtype).toBe('F16');
      expect(digest(await file.readFloat32(`module.${name}`)), name).toBe(expected);
    }
    await file.close();
  });

  it('have any folder name inside', async () => {
    const renamed = readFileSync(weightsPath('mixed-2.pth'))
      .toString('latin1')
      .replaceAll('mixed-2/', 'archive/');
    writeFileSync(path, renamed, 'latin1'); // as many bytes: the zip's offsets hold
    const file = await openPth(path);
    expect(file.tensors.get('row')!.shape).toEqual([6]);
    await file.close();
  });
});

describe('what is not read', () => {
  it.each([
    ['system-2.pth', /\bgot a call or use of "(posix|nt)\.system"; nothing of it was run/],
    ['system-4.pth', /\bgot a call or use of "(posix|nt)\.system"/],
    ['eval.pth', /"(__builtin__|builtins)\.eval"/],
    ['getattr.pth', /"(__builtin__|builtins)\.getattr"/],
    ['module.pth', /"torch\.nn\.modules\.linear\.Linear"/],
    ['numpy.pth', /"numpy\._core\.multiarray\.scalar"/],
    ['legacy.pth', /its old format of before torch 1\.6; save it again with a recent torch/],
    ['expanded.pth', /4000000 bytes of elements over a storage of 4 for tensor "a"/],
  ])('%s', async (name, message) => {
    expect(await refusal(weightsPath(name))).toMatch(message);
    expect(existsSync('pwned')).toBe(false);
  });

  it('tar files, other files, empty files, folders, files without tensors', async () => {
    const tar = Buffer.alloc(1024);
    tar.write('ustar', 257, 'latin1');
    for (const [bytes, message] of [
      [tar, 'its tar format of before torch 1.6'],
      [Buffer.from('hello'), 'got no zip file'],
      [Buffer.alloc(0), 'got no zip file'],
      [Buffer.from('PK'), 'a zip file that cannot be read'],
      [readFileSync(weightsPath('mixed-2.pth')).subarray(0, 5000), 'a zip file that cannot be read'],
    ] as const) {
      writeFileSync(path, bytes);
      expect(await refusal(path)).toContain(message);
    }
    expect(await refusal(folder)).toContain('got a folder');
    expect(await refusal(join(folder, 'no.pth'))).toContain('got ENOENT');
  });
});

describe('damaged files', () => {
  /** The golden with the bytes of one text replaced; as many bytes, for the zip's offsets. */
  const changed = (from: string, to: string, name = 'mixed-2.pth') => {
    const text = readFileSync(weightsPath(name)).toString('latin1');
    expect(text).toContain(from);
    expect(to.length).toBe(from.length);
    writeFileSync(path, text.replaceAll(from, to), 'latin1');
    return path;
  };

  it.each([
    ['a missing storage', 'mixed-2/data/0', 'mixed-2/dat_/0', /no data for tensor "transposed"/],
    ['no data.pkl', 'mixed-2/data.pkl', 'mixed-2/data.pkk', /a zip file with 0 entries called data\.pkl/],
    ['big-endian numbers', 'little', 'bigbig', /numbers in "bigbig" byte order/],
    ['an offset beyond the storage', 'QK\x0cK\x06\x85', 'QK\x20K\x06\x85', /an end at byte 152 of only 96/],
    ['an unknown storage', 'FloatStorage', 'Floatstorage', /"torch\.Floatstorage"/],
  ])('%s', async (_, from, to, message) => {
    expect(await refusal(changed(from, to))).toMatch(message);
  });
});
