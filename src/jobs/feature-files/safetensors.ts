import { bytesOf } from '../../util/bytes.js';
import { UserError } from '../../util/errors.js';
import { replaceFile } from '../../util/replace-file.js';
import {
  type TensorToWrite,
  withSafetensors,
  writeSafetensors,
} from '../../weights/checkpoint/safetensors.js';
import type { FeatureFormat } from './format.js';

const format = 'mae-features';

/** What the published readers take of a header, less what else stands in it. */
const maxNameBytes = 99_000_000;

/** `features`, and `labels` where there are classes; names of images and classes in the header, as JSON. */
export const safetensors: FeatureFormat = {
  takesTokens: true,
  paths: (path) => [path],

  async isOurs(path) {
    const metadata = await withSafetensors(path, async (file) => file.metadata).catch(() => undefined);
    return metadata?.['format'] === format;
  },

  check({ names }) {
    let bytes = 0;
    for (const name of names) bytes += Buffer.byteLength(JSON.stringify(JSON.stringify(name)));
    if (bytes <= maxNameBytes) return;
    throw new UserError(
      `--output: expected at most ${maxNameBytes / 1e6} MB of names for the header of a .safetensors file, got ` +
        `${Math.ceil(bytes / 1e6)} of ${names.length} images; write .npy or .parquet`,
    );
  },

  async write(path, { names, labels, classNames, shape, values }, metadata) {
    const tensors: TensorToWrite[] = [{ name: 'features', dtype: 'F32', shape, data: bytesOf(values) }];
    if (classNames.length > 0) {
      const data = bytesOf(BigInt64Array.from(labels, BigInt)); // int64, as torch wants targets
      tensors.push({ name: 'labels', dtype: 'I64', shape: [labels.length], data });
    }
    const header = { format, ...metadata, names: JSON.stringify(names), classes: JSON.stringify(classNames) };
    await replaceFile(path, 'embed', (temporary) => writeSafetensors(temporary, tensors, header));
  },
};
