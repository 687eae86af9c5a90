import { open, rm, writeFile } from 'node:fs/promises';
import { bytesOf } from '../../util/bytes.js';
import { UserError } from '../../util/errors.js';
import { replaceFile } from '../../util/replace-file.js';
import type { Shape } from '../../util/shape.js';
import { hasFile } from '../check-output.js';
import type { FeatureFormat } from './format.js';

/** Beside the numbers: paths, and labels where there are classes, a line a row. */
const besides = (path: string) => {
  const stem = path.slice(0, -'.npy'.length);
  return { names: `${stem}.names.txt`, labels: `${stem}.labels.txt` };
};

/** NumPy's format, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
export const npy: FeatureFormat = {
  takesTokens: true,
  paths: (path) => [path, ...Object.values(besides(path))],

  /** NumPy leaves no room for a mark: ours have their names beside them. */
  async isOurs(path) {
    if (!hasFile(besides(path).names)) return false;
    const handle = await open(path, 'r');
    try {
      const start = Buffer.alloc(128);
      await handle.read(start, 0, start.length, 0);
      return start.subarray(0, 6).equals(magic) && start.includes(float32);
    } finally {
      await handle.close();
    }
  },

  check({ names }) {
    const broken = names.find((name) => /[\r\n]/.test(name));
    if (broken === undefined) return;
    throw new UserError(
      `--output: expected names of one line for .names.txt, got ${JSON.stringify(broken)}; write .safetensors, .parquet or .csv`,
    );
  },

  async write(path, { names, labels, classNames, shape, values }) {
    const beside = besides(path);
    const lines = (of: Iterable<string>) => Array.from(of, (line) => `${line}\n`).join('');
    await replaceFile(path, 'embed', (temporary) => writeFile(temporary, parts(shape, values)));
    await replaceFile(beside.names, 'embed', (temporary) => writeFile(temporary, lines(names)));
    if (classNames.length === 0) await rm(beside.labels, { force: true });
    else {
      const text = lines(Array.from(labels, (label) => classNames[label] ?? ''));
      await replaceFile(beside.labels, 'embed', (temporary) => writeFile(temporary, text));
    }
  },
};

const magic = Buffer.from('\x93NUMPY', 'latin1');
const float32 = "'descr': '<f4'";

/** The header ends at a multiple of 64. */
function header(shape: Shape): Buffer {
  const text = `{${float32}, 'fortran_order': False, 'shape': (${shape.join(', ')}), }`;
  const length = Math.ceil((magic.length + 4 + text.length + 1) / 64) * 64;
  const bytes = Buffer.alloc(length, ' ');
  magic.copy(bytes);
  bytes.writeUInt16LE(1, magic.length); // 1.0: major and minor are a byte each
  bytes.writeUInt16LE(length - magic.length - 4, magic.length + 2);
  bytes.write(text, magic.length + 4);
  bytes[length - 1] = 0x0a;
  return bytes;
}

/** Pieces that one call to the system takes. */
function* parts(shape: Shape, values: Float32Array): Generator<Uint8Array> {
  const pieceBytes = 2 ** 24;
  yield header(shape);
  const bytes = bytesOf(values);
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
}
