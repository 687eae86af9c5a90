import { open, writeFile } from 'node:fs/promises';
import { replaceFile } from '../../util/replace-file.js';
import { sizeOf } from '../../util/shape.js';
import type { FeatureTable } from '../features.js';
import type { FeatureFormat } from './format.js';

/** RFC 4180 with a header: path, label (empty without a class), f0, f1, … */
export const csv: FeatureFormat = {
  takesTokens: false,
  paths: (path) => [path],

  async isOurs(path) {
    const handle = await open(path, 'r');
    try {
      const wanted = Buffer.from('path,label,f0');
      const start = Buffer.alloc(wanted.length);
      await handle.read(start, 0, start.length, 0);
      return start.equals(wanted);
    } finally {
      await handle.close();
    }
  },

  async write(path, table) {
    await replaceFile(path, 'embed', (temporary) => writeFile(temporary, pieces(table)));
  },
};

/** Text of many rows at a time. */
function* pieces({ names, labels, classNames, shape, values }: FeatureTable): Generator<string> {
  const size = sizeOf(shape.slice(1));
  yield `path,label,${Array.from({ length: size }, (_, i) => `f${i}`).join(',')}\n`;
  const rowsAtOnce = Math.ceil(2 ** 18 / size);
  for (let first = 0; first < names.length; first += rowsAtOnce) {
    let text = '';
    for (let row = first; row < Math.min(names.length, first + rowsAtOnce); row++) {
      const numbers = Array.from(values.subarray(row * size, (row + 1) * size), shortest);
      text += `${quoted(names[row]!)},${quoted(classNames[labels[row]!] ?? '')},${numbers.join(',')}\n`;
    }
    yield text;
  }
}

/** Nine digits name one float32 each. */
function shortest(value: number): number {
  return Number(value.toPrecision(9));
}

/** RFC 4180 */
export function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
