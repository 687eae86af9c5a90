import type { Pool } from '../artifact/graphs.js';
import { type ValidationBatch, ValidationLoader } from '../data/loader.js';
import type { ImageSource } from '../data/sources/source.js';
import { type ModelConfig, patchCount } from '../model/config.js';
import { imageInputs } from '../model/mask.js';
import type { BatchInput } from '../model/task.js';
import type { Runtime } from '../runtime/runtime.js';
import { UserError } from '../util/errors.js';
import { type Shape, sizeOf } from '../util/shape.js';
import { type Encoder, openEncoder, upToLayer } from './open-encoder.js';

/** Frozen features, a row an image that could be read, in the order of the source. */
export interface FeatureTable {
  /** The source's names of the images: paths of files. */
  readonly names: readonly string[];
  /** The place of each image's class in `classNames`, or −1 where it has none. */
  readonly labels: Int32Array;
  readonly classNames: readonly string[];
  /** [N, D], or [N, T, D] where tokens are not pooled. */
  readonly shape: Shape;
  readonly values: Float32Array;
}

export interface FeatureOptions<P extends Pool = Pool> {
  /** All of them come from one pass over the images. */
  readonly pools: readonly P[];
  /** The block, counted from 1, whose output the final norm gets; the last where not given. */
  readonly layer?: number | undefined;
  /** Blocks up to `layer`, whose means of the patch tokens are one more table, `layers`: [N, D·layers]. */
  readonly layers?: readonly number[] | undefined;
  readonly batchSize: number;
  readonly numWorkers: number;
  readonly exifRotation?: boolean | undefined;
}

export type Features<P extends Pool> = Readonly<Record<P, FeatureTable>> & { readonly layers?: FeatureTable };

/** Is told how many images are done, of how many. */
export type FeatureProgress = (done: number, total: number) => void;

/**
 * The encoder's features of the middle of each image, resized as for validation. Images that cannot be read are left out.
 * A UserError where no image is left or one has features that are no numbers.
 *
 * @param note is told of images left out, and what a person should know of how others were read
 */
export async function extractFeatures<P extends Pool>(
  runtime: Runtime,
  encoder: Encoder,
  source: ImageSource,
  options: FeatureOptions<P>,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<Features<P>> {
  const { pools, layers = [], layer = encoder.config.depth } = options;
  const part = upToLayer(encoder, layer);
  const batchSize = Math.min(options.batchSize, source.length);
  const evaluator = openEncoder(runtime, part, pools, batchSize, layers);
  const shapes = {
    ...byPool(pools, (pool) => featureShape(part.config, pool)),
    ...(layers.length > 0 && { layers: [layers.length * part.config.embedDim] }),
  };
  try {
    return (await collectRows<string>(
      source,
      {
        inputs: imageInputs(part.config, batchSize),
        shapes,
        compute: async (batch) => {
          await evaluator.run(batch.inputs);
          return evaluator.outputs;
        },
      },
      options,
      progress,
      note,
    )) as Features<P>;
  } finally {
    evaluator.release();
  }
}

/** What is made of each image: rows of the shapes, by name. */
export interface RowMaker<P extends string> {
  readonly inputs: readonly BatchInput[];
  readonly shapes: Readonly<Record<P, Shape>>;
  /** The rows of a batch, one after the other; read before the next batch. */
  compute(batch: ValidationBatch): Promise<Readonly<Record<P, Float32Array>>>;
}

/** Rows of each image of a source, in its order, as `extractFeatures` does. */
export async function collectRows<P extends string>(
  source: ImageSource,
  { inputs, shapes, compute }: RowMaker<P>,
  { numWorkers, exifRotation }: Pick<FeatureOptions, 'numWorkers' | 'exifRotation'>,
  progress: FeatureProgress,
  note: (line: string) => void,
): Promise<Readonly<Record<P, FeatureTable>>> {
  const rows = new Rows(source, shapes);
  const loader = new ValidationLoader({ source, inputs, seed: 0, numWorkers, exifRotation });
  const noted = new Set<string>(); // of each kind of picture one note is enough
  try {
    for (let batch = await loader.next(); batch !== undefined; batch = await loader.next()) {
      for (const { path, kind, text } of batch.notes) {
        if (!noted.has(kind)) note(`${path}: ${text}`);
        noted.add(kind);
      }
      rows.add(batch, await compute(batch));
      batch.release();
      progress(batch.imageIndices.at(-1)! + 1, source.length);
    }
    for (const { path, reason } of loader.skipped) note(`skipped ${path}: ${reason}`);
    progress(source.length, source.length);
  } finally {
    await loader.close();
  }
  return rows.tables();
}

/** Collects rows in memory for all images, which is taken at once: to grow it would be to have it twice. */
class Rows<P extends string> {
  readonly #source: ImageSource;
  readonly #pools: readonly P[];
  readonly #shapes: Readonly<Record<P, Shape>>;
  readonly #values: Readonly<Record<P, Float32Array>>;
  readonly #names: string[] = [];
  readonly #labels: Int32Array;

  constructor(source: ImageSource, shapes: Readonly<Record<P, Shape>>) {
    this.#source = source;
    this.#pools = Object.keys(shapes) as P[];
    this.#shapes = shapes;
    this.#values = byPool(this.#pools, (pool) => allocate(source.length, shapes[pool]));
    this.#labels = new Int32Array(source.length);
  }

  add({ count, imageIndices }: ValidationBatch, outputs: Readonly<Record<P, Float32Array>>): void {
    const first = this.#names.length;
    for (const pool of this.#pools) {
      const size = sizeOf(this.#shapes[pool]);
      const rows = outputs[pool].subarray(0, count * size);
      const bad = rows.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) throw notFinite(this.#source.name(imageIndices[Math.floor(bad / size)]!), rows[bad]!);
      this.#values[pool].set(rows, first * size);
    }
    for (const image of imageIndices) {
      this.#labels[this.#names.length] = this.#source.labelOf(image);
      this.#names.push(this.#source.name(image));
    }
  }

  tables(): Readonly<Record<P, FeatureTable>> {
    const count = this.#names.length;
    if (count === 0) throw new UserError(`features: no image of ${this.#source.root} can be read`);
    const { classNames } = this.#source;
    const shared = { names: this.#names, labels: this.#labels.subarray(0, count), classNames };
    return byPool(this.#pools, (pool) => {
      const shape = [count, ...this.#shapes[pool]];
      return { ...shared, shape, values: this.#values[pool].subarray(0, sizeOf(shape)) };
    });
  }
}

function byPool<P extends string, T>(pools: readonly P[], of: (pool: P) => T): Record<P, T> {
  return Object.fromEntries(pools.map((pool) => [pool, of(pool)])) as Record<P, T>;
}

/** What one image gives: [D], or [1 + L, D]. */
function featureShape(config: ModelConfig, pool: Pool): Shape {
  return pool === 'none' ? [1 + patchCount(config), config.embedDim] : [config.embedDim];
}

function allocate(images: number, shape: Shape): Float32Array {
  const count = images * sizeOf(shape);
  try {
    return new Float32Array(count);
  } catch {
    const gib = ((count * 4) / 2 ** 30).toFixed(1);
    throw new UserError(
      `features: expected memory for ${images} images of ${shape.join(' × ')} numbers (${gib} GiB), got too little; ` +
        'take fewer images at a time, or pooled features',
    );
  }
}

function notFinite(image: string, value: number): UserError {
  return new UserError(
    `features: expected finite numbers for ${image}, got ${value}; the weights are too large: use an earlier checkpoint`,
  );
}
