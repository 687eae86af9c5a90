import { extname, relative, sep } from 'node:path';
import { defaultPool } from '../artifact/default-pool.js';
import { encoderMetadata } from '../artifact/export-encoder.js';
import type { Pool } from '../artifact/graphs.js';
import { readLabels, withLabels } from '../data/sources/labels.js';
import type { ImageSource } from '../data/sources/source.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { chooseCompute } from '../train/engine/compute.js';
import { pretrainDefaults } from '../train/options.js';
import { UserError } from '../util/errors.js';
import type { Shape } from '../util/shape.js';
import { isFile } from '../weights/checkpoint/durable-files.js';
import type { Heads } from '../weights/foreign/heads.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadEncoder } from '../weights/foreign/weights.js';
import { checkOutputFile, filesOfCheckpoint, refused } from './check-output.js';
import { csv } from './feature-files/csv.js';
import type { FeatureFormat } from './feature-files/format.js';
import { npy } from './feature-files/npy.js';
import { parquet } from './feature-files/parquet.js';
import { safetensors } from './feature-files/safetensors.js';
import { extractFeatures, type FeatureProgress } from './features.js';
import { type InferenceOptions, inferenceDefaults } from './inference-options.js';
import { checkPools, upToLayer } from './open-encoder.js';
import { openImageFolder } from './open-images.js';

export interface EmbedOptions extends InferenceOptions, Pick<Heads, 'numHeads'> {
  readonly checkpoint: string;
  /** The folder of the images. */
  readonly dataPath: string;
  /** The file to write; its ending says how. */
  readonly output: string;
  readonly pool: Pool;
  /** The block whose output is taken, counted from 1; the last where not given. */
  readonly layer?: number | undefined;
  /** A CSV file of classes; the sub-folders are the classes where not given. */
  readonly labels?: string | undefined;
  readonly rescan: boolean;
}

export const embedDefaults = {
  pool: defaultPool,
  rescan: pretrainDefaults.rescan,
  ...inferenceDefaults,
} as const satisfies Partial<EmbedOptions>;

const formats: Readonly<Record<string, FeatureFormat>> = {
  '.npy': npy,
  '.safetensors': safetensors,
  '.parquet': parquet,
  '.csv': csv,
};

/** What was written. */
export interface Embedded {
  /** [N, D], or [N, T, D]. */
  readonly shape: Shape;
  readonly layer: number;
  /** Images that could not be read. */
  readonly skipped: number;
}

/**
 * Writes the features of the images of a folder, a row each in the order of the folder. Images that cannot be read are left
 * out, and their number says so.
 *
 * @param note is told what a person should know of how the checkpoint, the labels and the images were read
 */
export async function embed(
  options: EmbedOptions,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<Embedded> {
  const { checkpoint, output, pool, inputSize, threads, numHeads } = options;
  const format = formatOf(output, pool);
  await checkFeatureFile(format, options);
  const device = chooseDevice(options.device);
  const weights = atInputSize(await loadEncoder(checkpoint, { numHeads }), inputSize);
  checkPools(weights, [pool]);
  for (const line of weights.notes) note(line);
  const { layer = weights.config.depth } = options;
  upToLayer(weights, layer);
  const source = await openLabelled(options, note);
  const nameOf = (path: string) => relative(source.root, path).split(sep).join('/');
  format.check?.({ names: Array.from({ length: source.length }, (_, i) => nameOf(source.name(i))) });
  const { kernels } = chooseCompute({ precision: 'fp32', kernels: true }, device);
  const runtime = new Runtime({ threads, device, kernelsPath: kernels?.path });
  try {
    const { [pool]: found } = await extractFeatures(
      runtime,
      weights,
      source,
      { ...options, pools: [pool], layer },
      progress,
      note,
    );
    const table = { ...found, names: found.names.map(nameOf) };
    const metadata = { ...encoderMetadata(weights.config, weights.step, pool), 'mae.layer': String(layer) };
    await format.write(output, table, metadata);
    return { shape: table.shape, layer, skipped: source.length - table.names.length };
  } finally {
    runtime.release();
  }
}

function formatOf(output: string, pool: Pool): FeatureFormat {
  const ending = extname(output).toLowerCase();
  const format = formats[ending];
  if (format === undefined) {
    throw new UserError(
      `--output: expected a file that ends in ${Object.keys(formats).join(', ')}, got ${output}; rename it`,
    );
  }
  if (pool === 'none' && !format.takesTokens) {
    throw new UserError(
      `--pool: expected cls or mean for a ${ending} file, whose rows have one list of numbers, got none; write .npy or ` +
        '.safetensors',
    );
  }
  return format;
}

/** A UserError where a file would replace anything but earlier features, or what is read. */
async function checkFeatureFile(format: FeatureFormat, options: EmbedOptions): Promise<void> {
  const { checkpoint, output, labels } = options;
  const inputs = [...(await filesOfCheckpoint(checkpoint)), ...(labels === undefined ? [] : [labels])];
  const paths = format.paths(output);
  for (const path of paths) checkOutputFile(path, inputs);
  const there = await Promise.all(paths.map(isFile));
  if (!there.includes(true) || (there[0] && (await format.isOurs(output)))) return;
  throw refused(
    paths[there.indexOf(true)]!,
    'a new file or features of mae embed',
    'a file of something else',
    'choose another path',
  );
}

async function openLabelled(
  { dataPath, labels, rescan }: EmbedOptions,
  note: (line: string) => void,
): Promise<ImageSource> {
  const read = labels === undefined ? undefined : readLabels(labels, note);
  const folder = await openImageFolder(dataPath, { rescan, note });
  return read === undefined ? folder : withLabels(folder, read, note);
}
