import type { ModelConfig } from '../../model/config.js';
import { initialize } from '../../model/initialize.js';
import { encoderParameters } from '../../model/parameters.js';
import type { Runtime } from '../../runtime/runtime.js';
import { sizeOf } from '../../util/shape.js';
import { colourTable } from '../baselines/colour-statistics.js';
import { fitKMeansPatches, kMeansPatchTable } from '../baselines/k-means-patches.js';
import { pixelTable } from '../baselines/pictures.js';
import {
  extractFeatures,
  type FeatureOptions,
  type FeatureProgress,
  type Features,
  type FeatureTable,
} from '../features.js';
import type { Encoder } from '../open-encoder.js';
import type { ClassFolders } from './class-folders.js';

/** One row of the evaluation: the same kind of features of both folders. */
export interface FeatureSet {
  readonly features: string;
  /** null where there are no tokens to pool. */
  readonly pool: 'mean' | 'cls' | null;
  readonly isBaseline: boolean;
  readonly train: FeatureTable;
  readonly val: FeatureTable;
}

export interface FeatureSetOptions
  extends Pick<FeatureOptions, 'batchSize' | 'numWorkers' | 'exifRotation' | 'layer'> {
  /** Decides the fresh weights and the k-means patches. */
  readonly seed: number;
}

/** Blocks that are taken together, as DINOv2's linear evaluation does (Oquab et al., 2023). */
const lastBlocks = 4;

export interface FeatureListener {
  /** Is told what is computed now. */
  stage(name: string): void;
  readonly progress: FeatureProgress;
  note(line: string): void;
}

/** The encoder's features, then the baselines'; one after the other, so that memory holds one pass at a time. */
export async function* featureSets(
  runtime: Runtime,
  encoder: Encoder,
  folders: ClassFolders,
  options: FeatureSetOptions,
  listener: FeatureListener,
): AsyncGenerator<FeatureSet> {
  yield* encoderSets('pretrained', runtime, encoder, folders, options, listener);
  const fresh = freshEncoder(encoder.config, options.seed);
  yield* encoderSets('fresh', runtime, fresh, folders, options, listener);
  const { progress } = listener;
  const baseline = async (
    features: string,
    table: (source: ClassFolders['train'], note: (line: string) => void) => Promise<FeatureTable>,
  ): Promise<FeatureSet> => {
    listener.stage(features);
    // the same images were read before, and notes are the same
    const [train, val] = [await table(folders.train, silent), await table(folders.val, silent)];
    return { features, pool: null, isBaseline: true, train, val };
  };
  yield baseline('colour statistics', (source, note) => colourTable(source, options, progress, note));
  yield baseline('16×16 pixels', (source, note) => pixelTable(source, 16, options, progress, note));
  listener.stage('k-means patches, filters');
  const filters = await fitKMeansPatches(runtime, folders.train, options, progress, silent);
  yield baseline('k-means patches', (source, note) =>
    kMeansPatchTable(runtime, filters, source, options, progress, note),
  );
}

async function* encoderSets(
  kind: 'pretrained' | 'fresh',
  runtime: Runtime,
  encoder: Encoder,
  { train, val }: ClassFolders,
  options: FeatureSetOptions,
  listener: FeatureListener,
): AsyncGenerator<FeatureSet> {
  listener.stage(kind);
  const { layer = encoder.config.depth } = options;
  // the norm of an encoder that was fine-tuned on the mean is good for the mean alone
  const isTuned = encoder.norm === 'fc_norm';
  const pools = isTuned ? (['mean'] as const) : (['mean', 'cls'] as const);
  const isBaseline = kind === 'fresh';
  const first = Math.max(1, layer - lastBlocks + 1);
  const layers = isBaseline || isTuned || first === layer ? [] : range(first, layer);
  const extract = (source: ClassFolders['train']): Promise<Features<'mean' | 'cls'>> => {
    const note = isBaseline ? silent : listener.note;
    return extractFeatures(runtime, encoder, source, { ...options, pools, layers }, listener.progress, note);
  };
  const [ofTrain, ofVal] = [await extract(train), await extract(val)];
  for (const pool of pools) {
    yield { features: kind, pool, isBaseline, train: ofTrain[pool], val: ofVal[pool] };
  }
  if (ofTrain.layers === undefined || ofVal.layers === undefined) return;
  const features = `${kind}, last ${layers.length} blocks`;
  yield { features, pool: 'mean', isBaseline, train: ofTrain.layers, val: ofVal.layers };
}

/** What `mae pretrain` begins with by the same seed. */
function freshEncoder(config: ModelConfig, seed: number): Encoder {
  const parameters = new Map<string, Float32Array>();
  for (const [index, spec] of encoderParameters(config).entries()) {
    const values = new Float32Array(sizeOf(spec.shape));
    initialize(values, spec, seed, index);
    parameters.set(spec.name, values);
  }
  return { config, parameters };
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i);
}

function silent(): void {}
