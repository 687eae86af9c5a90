import { open } from 'node:fs/promises';
import { replaceFile } from '../../util/replace-file.js';
import { sizeOf } from '../../util/shape.js';
import type { FeatureTable } from '../features.js';
import type { FeatureFormat } from './format.js';

/** Columns path, label (null without a class) and features, a list of float. */
export const parquet: FeatureFormat = {
  takesTokens: false,
  paths: (path) => [path],

  /** The metadata stand at the end. */
  async isOurs(path) {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const end = Buffer.alloc(Math.min(size, 2 ** 16));
      await handle.read(end, 0, end.length, size - end.length);
      return end.includes('mae.pool') && end.subarray(-4).toString() === 'PAR1';
    } finally {
      await handle.close();
    }
  },

  async write(path, table, metadata) {
    await replaceFile(path, 'embed', (temporary) => writeRows(temporary, table, metadata));
  },
};

const schema = [
  { name: 'root', num_children: 3 },
  { name: 'path', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
  { name: 'label', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'OPTIONAL' },
  { name: 'features', repetition_type: 'REQUIRED', converted_type: 'LIST', num_children: 1 },
  { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
  { name: 'element', type: 'FLOAT', repetition_type: 'REQUIRED' },
] as const;

/** Numbers of a row group, which the library takes as an array of arrays. */
const groupValues = 2 ** 20;

async function writeRows(
  path: string,
  { names, labels, classNames, shape, values }: FeatureTable,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const { fileWriter, ParquetWriter } = await import('hyparquet-writer');
  const kvMetadata = Object.entries(metadata).map(([key, value]) => ({ key, value }));
  const writer = new ParquetWriter({
    writer: fileWriter(path),
    schema: [...schema],
    kvMetadata,
    createdBy: 'mae',
  });
  const size = sizeOf(shape.slice(1));
  const rows = Math.ceil(groupValues / size);
  for (let first = 0; first < names.length; first += rows) {
    const end = Math.min(names.length, first + rows);
    const features = Array.from({ length: end - first }, (_, i) =>
      Array.from(values.subarray((first + i) * size, (first + i + 1) * size)),
    );
    await writer.write({
      columnData: [
        { name: 'path', data: names.slice(first, end) },
        {
          name: 'label',
          data: Array.from(labels.subarray(first, end), (label) => classNames[label] ?? null),
        },
        // compression finds nothing in floats
        { name: 'features', data: features, encoding: 'PLAIN', codec: 'UNCOMPRESSED', statistics: false },
      ],
      rowGroupSize: rows,
    });
  }
  await writer.finish();
}
